//! Field selectors: `metadata.name=web,status.phase!=Running`.

use sampan_core::object::Object;
use sampan_core::resource::ResourceDefinition;
use sampan_core::status::Status;

/// A field selector: every requirement must hold. Without requirements it matches everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldSelector(Vec<Requirement>);

#[derive(Debug, Clone)]
struct Requirement {
    field: String,
    value: String,
    equal: bool,
}

/// The field by which one object is asked for.
const NAME: &str = "metadata.name";
/// The fields every resource type is selected by.
const EVERYWHERE: [&str; 2] = [NAME, "metadata.namespace"];

impl FieldSelector {
    /// Reads the selector, whatever it selects.
    ///
    /// # Errors
    /// `BadRequest` where the text is no selector.
    pub(crate) fn read(text: &str) -> Result<Self, Status> {
        let parts = split(text)?.into_iter().filter(|part| !part.is_empty());
        Ok(Self(parts.map(|part| requirement(&part)).collect::<Result<_, _>>()?))
    }

    /// Reads the selector and checks that objects of the resource type can be selected by its fields.
    ///
    /// # Errors
    /// `BadRequest` where the text is no selector or names another field.
    pub(crate) fn parse(text: &str, definition: &ResourceDefinition) -> Result<Self, Status> {
        let selector = Self::read(text)?;
        for Requirement { field, .. } in &selector.0 {
            let selectable = definition.selectable_fields().any(|path| path == field);
            if !selectable && !EVERYWHERE.contains(&field.as_str()) {
                return Err(Status::bad_request(format!("field label not supported: {field}")));
            }
        }
        Ok(selector)
    }

    /// What it asks of the fields every object has, and of others where it does.
    pub(crate) fn split(self) -> (Self, Option<Self>) {
        let (everywhere, others): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|it| EVERYWHERE.contains(&it.field.as_str()));
        (Self(everywhere), Some(Self(others)).filter(|others| !others.is_empty()))
    }

    /// Whether an object of a resource type fulfils every requirement, given as JSON.
    pub(crate) fn matches_json(&self, definition: &ResourceDefinition, object: &[u8]) -> bool {
        let object = serde_json::from_slice(object).unwrap_or_default();
        let values = definition.selectable_values(&object);
        let value = |field: &str| values.iter().find(|(name, _)| *name == field).map_or("", |(_, value)| value);
        self.0.iter().all(|it| (value(&it.field) == it.value) == it.equal)
    }

    /// Whether it matches everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object fulfils every requirement.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|it| (object.field(&it.field).unwrap_or_default() == it.value) == it.equal)
    }

    /// The name of the one object it asks for. Who may read that one alone may list or watch it so; of what is deleted together no
    /// name is read here, as in Kubernetes.
    pub(crate) fn name(&self) -> Option<&str> {
        self.exact(NAME).filter(|name| is_segment(name))
    }

    /// The value a field must have, where a requirement says so.
    pub(crate) fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|it| it.equal && it.field == field).map(|it| it.value.as_str())
    }
}

/// Whether a path can hold it as a name.
fn is_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '%'])
}

/// Splits at commas that are not escaped, and undoes escapes of commas; others stay for the requirement.
fn split(text: &str) -> Result<Vec<String>, Status> {
    let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                escaped = false;
                match character {
                    ',' | '=' | '\\' => part.push(character),
                    other => return Err(invalid(text, &format!("invalid escape sequence: \\{other}"))),
                }
            }
            '\\' => escaped = true,
            ',' => parts.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    parts.push(part);
    Ok(parts)
}

fn requirement(part: &str) -> Result<Requirement, Status> {
    let (field, rest) = match part.find(['!', '=']) {
        Some(at) => part.split_at(at),
        None => return Err(invalid(part, "can't understand it")),
    };
    let (equal, value) = if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        (true, value)
    } else {
        return Err(invalid(part, "can't understand it"));
    };
    Ok(Requirement { field: field.trim().to_owned(), value: value.trim().to_owned(), equal })
}

fn invalid(selector: &str, why: &str) -> Status {
    Status::bad_request(format!("invalid selector: {selector:?}; {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String, bool)>, Status> {
        let parts = split(text)?;
        parts.iter().map(|part| requirement(part).map(|it| (it.field, it.value, it.equal))).collect()
    }

    #[test]
    fn requirements_are_equal_or_unequal() {
        let found = read("a=b,c!=d,e==f").unwrap();
        let expect = [("a", "b", true), ("c", "d", false), ("e", "f", true)];
        assert_eq!(found, expect.map(|(field, value, equal)| (field.to_owned(), value.to_owned(), equal)));
    }

    #[test]
    fn one_object_is_asked_for_by_its_name_however_that_is_written() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(FieldSelector::read(text).unwrap().name(), expect, "{text}");
        };
        check("metadata.name=x", Some("x"));
        check("metadata.name == x", Some("x"));
        check("a=b,metadata.name=x", Some("x"));
        check("metadata.name!=x", None);
        check("metadata.namespace=x", None);
        check("a=metadata.name\\=x", None);
        check("metadata.name=", None);
        check("metadata.name=x/y", None);
        check("", None);
    }

    #[test]
    fn commas_may_be_escaped_and_nonsense_is_refused() {
        assert_eq!(read("a=b\\,c").unwrap(), [("a".to_owned(), "b,c".to_owned(), true)]);
        assert!(read("a").is_err());
        assert!(read("a=b\\x").is_err());
    }
}
