//! What differs between two versions of an object, field by field.

use serde::Serialize;
use serde_json::Value;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// The field's path.
    pub field: String,
    /// Its value before; absent where it was not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Its value after; absent where it is taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What the server keeps for itself, and what every write changes.
const IGNORED: [&str; 5] = [
    "metadata.managedFields",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.uid",
];

/// The fields an author would call changed, in order; status and bookkeeping are left out.
pub fn changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<FieldChange>) {
    if before == after || IGNORED.contains(&path) || path == "status" {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                compare(&joined(path, key), old.get(key), new.get(key), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => compare_lists(path, old, new, found),
        _ => found.push(FieldChange { field: path.to_owned(), before: before.cloned(), after: after.cloned() }),
    }
}

/// Items are matched by name where all have one, else by place.
fn compare_lists(path: &str, old: &[Value], new: &[Value], found: &mut Vec<FieldChange>) {
    let name = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
    let named = |items: &[Value]| items.iter().map(name).collect::<Option<Vec<_>>>();
    let (Some(old_names), Some(new_names)) = (named(old), named(new)) else {
        for index in 0..old.len().max(new.len()) {
            compare(&format!("{path}[{index}]"), old.get(index), new.get(index), found);
        }
        return;
    };
    let find = |items: &'_ [Value], wanted: &str| items.iter().position(|item| name(item).as_deref() == Some(wanted));
    let added = new_names.iter().filter(|name| !old_names.contains(name));
    for name in old_names.iter().chain(added) {
        let before = find(old, name).and_then(|index| old.get(index));
        let after = find(new, name).and_then(|index| new.get(index));
        compare(&format!("{path}[{name}]"), before, after, found);
    }
}

fn joined(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        _ if key.contains(['.', '/']) => format!("{path}[{key}]"),
        _ => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_compared_and_items_matched_by_name() {
        let before = json!({
            "metadata": { "resourceVersion": "1", "labels": { "app.kubernetes.io/name": "web" } },
            "spec": { "replicas": 2, "containers": [{ "name": "a", "image": "x" }, { "name": "b" }], "args": [1, 2] },
            "status": { "replicas": 2 },
        });
        let after = json!({
            "metadata": { "resourceVersion": "2", "labels": { "app.kubernetes.io/name": "shop" } },
            "spec": { "replicas": 3, "containers": [{ "name": "b" }, { "name": "a", "image": "y" }], "args": [1] },
        });
        let fields: Vec<_> = changes(&before, &after).into_iter().map(|change| change.field).collect();
        let expected =
            ["metadata.labels[app.kubernetes.io/name]", "spec.args[1]", "spec.containers[a].image", "spec.replicas"];
        let mut sorted = fields.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
    }

    #[test]
    fn an_object_differs_from_itself_in_nothing() {
        let object = json!({ "spec": { "containers": [{ "image": "x" }] } });
        assert_eq!(changes(&object, &object), []);
    }
}
