//! The simple JSON paths of columns: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.

use serde_json::Value;

/// A path to one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    Each,
    Where { path: JsonPath, equals: bool, value: String },
}

impl JsonPath {
    /// Reads a path; it may stand in braces.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(inner);
        let mut reader = Reader { rest: inner.strip_prefix('$').unwrap_or(inner) };
        let mut steps = Vec::new();
        while !reader.rest.is_empty() {
            steps.push(reader.step().ok_or_else(|| format!("is not a JSON path at {:?}", reader.rest))?);
        }
        Ok(Self(steps))
    }

    /// The fields of a path that is nothing but fields.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let names = self.0.iter().map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// The path as a JSON pointer, where it is nothing but fields.
    pub fn pointer(&self) -> Option<String> {
        let escaped = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        Some(self.fields()?.into_iter().map(escaped).collect())
    }

    /// The first value it leads to.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.all(value).into_iter().next()
    }

    fn all<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.0.iter().fold(vec![value], |found, step| found.into_iter().flat_map(|value| step.below(value)).collect())
    }
}

impl Step {
    fn below<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let place = if *index < 0 { items.len() as i64 + index } else { *index };
                usize::try_from(place).ok().and_then(|place| items.get(place)).into_iter().collect()
            }
            Self::Each => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where { path, equals, value: wanted } => {
                let fits = |item: &&Value| path.first(item).is_some_and(|found| (spelled(found) == *wanted) == *equals);
                value.as_array().into_iter().flatten().filter(fits).collect()
            }
        }
    }
}

fn spelled(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn step(&mut self) -> Option<Step> {
        if self.take("[?(") {
            return self.condition();
        }
        if self.take("[*]") {
            return Some(Step::Each);
        }
        if self.take("[") {
            let (inside, rest) = self.rest.split_once(']')?;
            self.rest = rest;
            let quoted = |quote| inside.strip_prefix(quote).and_then(|inside| inside.strip_suffix(quote));
            return match quoted('\'').or_else(|| quoted('"')) {
                Some(name) => Some(Step::Field(name.to_owned())),
                None => inside.parse().ok().map(Step::Index),
            };
        }
        if self.take(".*") {
            return Some(Step::Each);
        }
        self.take(".").then(|| self.name()).flatten().map(Step::Field)
    }

    fn take(&mut self, start: &str) -> bool {
        match self.rest.strip_prefix(start) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A name; a dot in it is escaped: `app\.kubernetes\.io/name`.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut characters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((place, character)) = characters.next() {
            match character {
                '\\' => name.push(characters.next()?.1),
                '.' | '[' | ' ' | '=' | '!' | ')' => {
                    end = place;
                    break;
                }
                other => name.push(other),
            }
        }
        self.rest = self.rest.get(end..)?;
        (!name.is_empty()).then_some(name)
    }

    /// What stands in `[?(@.type=="Ready")]`, after the opening.
    fn condition(&mut self) -> Option<Step> {
        let (inside, rest) = self.rest.split_once(")]")?;
        let (left, equals, right) = match (inside.split_once("=="), inside.split_once("!=")) {
            (Some((left, right)), _) => (left, true, right),
            (None, Some((left, right))) => (left, false, right),
            (None, None) => return None,
        };
        let path = JsonPath::parse(left.trim().strip_prefix('@')?).ok()?;
        let value = right.trim().trim_matches(|c| matches!(c, '"' | '\'')).to_owned();
        self.rest = rest;
        Some(Step::Where { path, equals, value })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_its_first_value() {
        let object = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
            "spec": {"list": [{"n": 1}, {"n": 2}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]},
        });
        for (path, expected) in [
            (".spec.list[0].n", json!(1)),
            (".spec.list[-1].n", json!(2)),
            ("{.spec.list[*].n}", json!(1)),
            (r".metadata.labels.app\.kubernetes\.io/name", json!("web")),
            (".metadata.labels['app.kubernetes.io/name']", json!("web")),
            (r#".status.conditions[?(@.type=="Old")].status"#, json!("False")),
            (r".status.conditions[?(@.type != 'Ready')].status", json!("False")),
            (".spec.nothing.here", Value::Null),
            (".spec.list[7]", Value::Null),
        ] {
            let found = JsonPath::parse(path).unwrap().first(&object).cloned();
            assert_eq!(found.unwrap_or_default(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["spec", ".spec[", ".spec[x]", "..", ".a[?(@.b)]", "."] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
        assert_eq!(JsonPath::parse(".spec.a/b").unwrap().pointer().as_deref(), Some("/spec/a~1b"));
        assert_eq!(JsonPath::parse(".spec[0]").unwrap().pointer(), None);
    }
}
