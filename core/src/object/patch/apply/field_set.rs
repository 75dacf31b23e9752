//! Sets of fields, as managers own them.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A set of places in an object, as a tree.
///
/// An element of a place is spelled as in `FieldsV1`: `f:<field>`, `k:<keys of a list item>`, `v:<value of a set's item>`. The
/// place itself belongs to the set when it is a member; `FieldsV1` writes `.` for that where there is more below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    member: bool,
    children: Vec<(String, FieldSet)>,
}

impl FieldSet {
    pub(super) const EMPTY: Self = Self { member: false, children: Vec::new() };

    /// The place itself and nothing below.
    pub(super) const fn leaf() -> Self {
        Self { member: true, children: Vec::new() }
    }

    pub(super) fn new(member: bool, mut children: Vec<(String, Self)>) -> Self {
        if !children.is_sorted_by(|(a, _), (b, _)| a <= b) {
            children.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        children.dedup_by(|(later, more), (element, set)| {
            let same = later == element;
            if same {
                set.unite(std::mem::take(more));
            }
            same
        });
        Self { member, children }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    pub(super) fn is_member(&self) -> bool {
        self.member
    }

    pub(super) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    pub(super) fn child(&self, element: &str) -> Option<&Self> {
        let place = self.children.binary_search_by(|(own, _)| own.as_str().cmp(element)).ok()?;
        self.children.get(place).map(|(_, set)| set)
    }

    /// The child `f:<name>`, found without spelling it out.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.children.get(self.field_place(name)?).map(|(_, set)| set)
    }

    fn field_place(&self, name: &str) -> Option<usize> {
        let spelled = || b"f:".iter().chain(name.as_bytes());
        self.children.binary_search_by(|(own, _)| own.as_bytes().iter().cmp(spelled())).ok()
    }

    /// Adds all of `other`.
    pub(super) fn unite(&mut self, other: Self) {
        self.member |= other.member;
        if self.children.is_empty() {
            self.children = other.children;
            return;
        }
        for (element, set) in other.children {
            match self.children.binary_search_by(|(own, _)| own.cmp(&element)) {
                Ok(place) => {
                    if let Some((_, own)) = self.children.get_mut(place) {
                        own.unite(set);
                    }
                }
                Err(place) => self.children.insert(place, (element, set)),
            }
        }
    }

    /// Takes out the members of `other`, not what lies below them.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        self.change_common(other, Self::subtract);
    }

    /// Takes out the members of `other` with all that lies below them.
    pub(super) fn subtract_trees(&mut self, other: &Self) {
        if other.member {
            *self = Self::EMPTY;
            return;
        }
        self.change_common(other, Self::subtract_trees);
    }

    fn change_common(&mut self, other: &Self, change: fn(&mut Self, &Self)) {
        if other.children.is_empty() {
            return;
        }
        self.children.retain_mut(|(element, set)| match other.child(element) {
            Some(change_by) => {
                change(set, change_by);
                !set.is_empty()
            }
            None => true,
        });
    }

    /// Takes out the place `path` of fields with all that lies below it.
    pub(super) fn remove_field(&mut self, path: &[&str]) {
        let Some((name, below)) = path.split_first() else {
            *self = Self::EMPTY;
            return;
        };
        self.change_field(name, |set| set.remove_field(below));
    }

    /// Takes out the fields that are not to be kept, with all that lies below them.
    pub(super) fn retain_fields(&mut self, keep: impl Fn(&str) -> bool) {
        self.children.retain(|(element, _)| element.strip_prefix("f:").is_none_or(&keep));
    }

    /// Changes what is owned of the field `name`; it goes when nothing is left.
    pub(super) fn change_field(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        let Some(place) = self.field_place(name) else { return };
        if let Some((_, set)) = self.children.get_mut(place) {
            change(set);
            if set.is_empty() {
                self.children.remove(place);
            }
        }
    }

    /// No longer owns the place itself, only what lies below it.
    pub(super) fn disown(&mut self) {
        self.member = false;
    }

    /// Adds the field `name` itself.
    pub(super) fn own_field(&mut self, name: &str) {
        self.unite(Self::new(false, vec![(field_element(name), Self::leaf())]));
    }

    /// The places that are members of both, as `.spec.containers[name="web"].image`.
    pub(super) fn common_paths(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_common(other, &mut String::new(), &mut found);
        found
    }

    fn collect_common(&self, other: &Self, path: &mut String, found: &mut Vec<String>) {
        if self.member && other.member {
            found.push(path.clone());
        }
        for (element, set) in &self.children {
            let Some(others) = other.child(element) else { continue };
            let length = path.len();
            write_element(element, path);
            set.collect_common(others, path, found);
            path.truncate(length);
        }
    }

    /// Reads `FieldsV1`; what is malformed counts as the place itself.
    pub(super) fn from_json(value: Value) -> Self {
        let mut set = Self::read(value);
        set.member = false;
        set
    }

    fn read(value: Value) -> Self {
        let Value::Object(fields) = value else { return Self::leaf() };
        if fields.is_empty() {
            return Self::leaf();
        }
        let mut member = false;
        let mut children = Vec::with_capacity(fields.len());
        for (element, below) in fields {
            if element == "." {
                member = true;
            } else {
                children.push((element, Self::read(below)));
            }
        }
        Self::new(member, children)
    }

    /// Writes `FieldsV1`.
    pub(super) fn into_json(self) -> Value {
        let mut fields = Map::new();
        if self.member && !self.children.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        fields.extend(self.children.into_iter().map(|(element, set)| (element, set.into_json())));
        Value::Object(fields)
    }
}

/// The element of a field or a map's entry.
pub(super) fn field_element(name: &str) -> String {
    let mut element = String::with_capacity(name.len() + 2);
    element.push_str("f:");
    element.push_str(name);
    element
}

/// The element of a set's item.
pub(super) fn value_element(value: &Value) -> String {
    format!("v:{value}")
}

/// The element of a list's item that is known by `keys`, which are in alphabetical order.
pub(super) fn key_element<'a>(keys: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut element = String::from("k:{");
    for (name, value) in keys {
        if element.len() > 3 {
            element.push(',');
        }
        // Names of keys are field names: they need no escapes.
        let written = write!(element, "\"{name}\":{value}");
        written.expect("writing to a string cannot fail");
    }
    element.push('}');
    element
}

fn write_element(element: &str, out: &mut String) {
    let written = match element.split_once(':') {
        Some(("f", name)) => write!(out, ".{name}"),
        Some(("v", value)) => write!(out, "[={value}]"),
        Some(("i", index)) => write!(out, "[{index}]"),
        Some(("k", keys)) => match serde_json::from_str::<Map<String, Value>>(keys) {
            Ok(keys) => {
                let shown: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(out, "[{}]", shown.join(","))
            }
            Err(_) => write!(out, "[{keys}]"),
        },
        _ => write!(out, "[{element}]"),
    };
    written.expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: Value) -> FieldSet {
        FieldSet::from_json(value)
    }

    #[test]
    fn a_set_reads_back_as_written() {
        let value = json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}}, "f:x": {}}});
        assert_eq!(set(value.clone()).into_json(), value);
        assert!(set(json!({})).is_empty());
    }

    #[test]
    fn a_difference_takes_members_and_leaves_what_lies_below() {
        let mut a = set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        a.subtract(&set(json!({"f:a": {}, "f:c": {}})));
        assert_eq!(a.into_json(), json!({"f:a": {"f:b": {}}}));
        let mut a = set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        a.subtract_trees(&set(json!({"f:a": {}})));
        assert_eq!(a.into_json(), json!({"f:c": {}}));
        let mut a = set(json!({"f:a": {"f:b": {"f:c": {}}}}));
        a.remove_field(&["a", "b"]);
        assert!(a.is_empty());
    }

    #[test]
    fn a_union_holds_both() {
        let mut a = set(json!({"f:a": {"f:b": {}}}));
        a.unite(set(json!({"f:a": {".": {}, "f:0": {}}, "f:z": {}})));
        assert_eq!(a.into_json(), json!({"f:a": {".": {}, "f:0": {}, "f:b": {}}, "f:z": {}}));
    }

    #[test]
    fn common_places_are_spelled_as_in_conflicts() {
        let spelled = set(json!({"f:spec": {
            "f:containers": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {"f:name": {}}},
            "f:finalizers": {"v:\"x\"": {}}, "f:list": {"i:0": {}}, "f:only": {}
        }}));
        let mut other = spelled.clone();
        other.remove_field(&["spec", "only"]);
        assert_eq!(
            spelled.common_paths(&other),
            [".spec.containers[containerPort=80,protocol=\"TCP\"].name", ".spec.finalizers[=\"x\"]", ".spec.list[0]"]
        );
    }
}
