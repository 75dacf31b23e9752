//! Where things stand in a manifest, so that a fault in an object's field is shown in the user's file.

use std::collections::BTreeMap;
use std::fmt;

/// A place in a file; both counted from one, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// Where a value and everything in it stands: the shape of the value, with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans {
    /// Where the value begins.
    pub at: Position,
    children: Children,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Children {
    Scalar,
    List(Vec<Spans>),
    Map(BTreeMap<String, Entry>),
}

/// An entry of a mapping: where its key stands, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where the key begins.
    pub key: Position,
    /// The value's places.
    pub value: Spans,
}

impl Spans {
    /// A value without parts.
    pub fn scalar(at: Position) -> Self {
        Self { at, children: Children::Scalar }
    }

    /// A list.
    pub fn list(at: Position, items: Vec<Spans>) -> Self {
        Self { at, children: Children::List(items) }
    }

    /// A mapping.
    pub fn map(at: Position, entries: BTreeMap<String, Entry>) -> Self {
        Self { at, children: Children::Map(entries) }
    }

    /// The place of a field such as `spec.containers[0].image` or `metadata.labels[app.kubernetes.io/name]`.
    ///
    /// Where the file does not hold the field, the deepest part of the path that it does hold is meant: for a missing
    /// field that is the key of the mapping it is missing from.
    pub fn locate(&self, field: &str) -> Position {
        let segments = segments(field);
        let mut rest = segments.as_slice();
        let mut here = self;
        let mut place = self.at;
        while !rest.is_empty() {
            let Some((next, at, used)) = here.step(rest) else { break };
            (here, place) = (next, at);
            rest = rest.get(used..).unwrap_or_default();
        }
        place
    }

    /// The place of a field's key.
    pub fn locate_key(&self, field: &str) -> Position {
        let segments = segments(field);
        let mut rest = segments.as_slice();
        let mut here = self;
        let mut place = self.at;
        while let Some((next, _, used)) = here.step(rest) {
            place = rest.get(..used).and_then(|path| here.entry(&path.join("."))).map_or(next.at, |entry| entry.key);
            here = next;
            rest = rest.get(used..).unwrap_or_default();
        }
        place
    }

    /// The child the path goes on with, where to point for it, and how many segments that took: a key may hold dots.
    fn step(&self, path: &[String]) -> Option<(&Spans, Position, usize)> {
        match &self.children {
            Children::Scalar => None,
            Children::List(items) => {
                let item = items.get(path.first()?.parse::<usize>().ok()?)?;
                Some((item, item.at, 1))
            }
            Children::Map(entries) => (1..=path.len()).find_map(|used| {
                let entry = entries.get(&path.get(..used)?.join("."))?;
                let last = used == path.len() && matches!(entry.value.children, Children::Scalar);
                Some((&entry.value, if last { entry.value.at } else { entry.key }, used))
            }),
        }
    }

    /// The items of a list, or nothing.
    pub fn items(&self) -> &[Spans] {
        match &self.children {
            Children::List(items) => items,
            Children::Scalar | Children::Map(_) => &[],
        }
    }

    /// The value of an entry of a mapping.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.children {
            Children::Map(entries) => entries.get(key),
            Children::Scalar | Children::List(_) => None,
        }
    }
}

/// Splits `a.b[0].c[x.y]` into `a`, `b`, `0`, `c`, `x.y`.
fn segments(field: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut in_brackets = false;
    for character in field.chars() {
        match character {
            '[' if !in_brackets => in_brackets = true,
            ']' if in_brackets => in_brackets = false,
            '.' if !in_brackets => {}
            _ => {
                current.push(character);
                continue;
            }
        }
        if !current.is_empty() {
            found.push(std::mem::take(&mut current));
        }
    }
    if !current.is_empty() {
        found.push(current);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    fn pod() -> Spans {
        let entry = |key, value| Entry { key, value };
        let image = entry(at(4, 7), Spans::scalar(at(4, 14)));
        let container = Spans::map(at(4, 7), BTreeMap::from([("image".to_owned(), image)]));
        let containers = entry(at(3, 3), Spans::list(at(4, 5), vec![container]));
        let spec = entry(at(2, 1), Spans::map(at(3, 3), BTreeMap::from([("containers".to_owned(), containers)])));
        let label = entry(at(7, 5), Spans::scalar(at(7, 30)));
        let labels = Spans::map(at(7, 5), BTreeMap::from([("app.kubernetes.io/name".to_owned(), label)]));
        let labels = entry(at(6, 3), labels);
        Spans::map(at(1, 1), BTreeMap::from([("spec".to_owned(), spec), ("labels".to_owned(), labels)]))
    }

    fn check(field: &str, expect: Position) {
        assert_eq!(pod().locate(field), expect, "{field}");
    }

    #[test]
    fn a_field_that_is_there_is_pointed_at() {
        check("spec.containers[0].image", at(4, 14));
        check("spec.containers", at(3, 3));
        check("labels[app.kubernetes.io/name]", at(7, 30));
        check("labels.app.kubernetes.io/name", at(7, 30));
    }

    #[test]
    fn a_key_is_pointed_at_where_the_field_should_not_be() {
        assert_eq!(pod().locate_key("spec.containers[0].image"), at(4, 7));
        assert_eq!(pod().locate_key("spec.containers[0]"), at(4, 7));
        assert_eq!(pod().locate_key("spec.nothing"), at(2, 1));
    }

    #[test]
    fn a_missing_field_points_at_what_it_is_missing_from() {
        check("spec.containers[0].name", at(4, 7));
        check("spec.containers[3].name", at(3, 3));
        check("spec.replicas", at(2, 1));
        check("status", at(1, 1));
        check("", at(1, 1));
    }
}
