//! A configuration merged into an object without anybody coming to own what it says: so policies change objects.

use serde_json::Value;

use super::{ApplyError, combine};
use crate::object::FieldPath;
use crate::schema::{Schema, Shape, Topology};

/// Why a configuration cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// It would replace what belongs together, and drop what it does not say of that.
    #[error("may not mutate atomic arrays, maps or structs: {0}")]
    Atomic(String),
    /// Items of a list cannot be told apart.
    #[error(transparent)]
    Items(#[from] ApplyError),
}

/// The object with a configuration merged in. What the configuration does not name stays; the record of managers is not touched.
///
/// # Errors
/// When the configuration sets something atomic, or items of its lists cannot be told apart.
pub fn merge_configuration(schema: &Schema, live: &Value, configuration: &Value) -> Result<Value, MergeError> {
    let mut atomics = Vec::new();
    find_atomics(schema, configuration, &FieldPath::root(), &mut atomics);
    if !atomics.is_empty() {
        return Err(MergeError::Atomic(atomics.join(", ")));
    }
    combine::check_items(schema, configuration, &FieldPath::root())?;
    let mut merged = live.clone();
    combine::merge(schema, &mut merged, configuration);
    Ok(merged)
}

/// What is atomic in it. A list nobody describes is.
fn find_atomics(schema: &Schema, value: &Value, path: &FieldPath, found: &mut Vec<String>) {
    let (items, is_atomic) = match (schema.shape(), value) {
        (Shape::Object(object), Value::Object(_)) => (&Schema::Any, object.atomic),
        (Shape::List(list), Value::Array(_)) => (&list.items, list.topology == Topology::Atomic),
        (Shape::Any, Value::Array(_)) => (&Schema::Any, true),
        _ => (&Schema::Any, false),
    };
    if is_atomic {
        found.push(format!(".{path}"));
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                find_atomics(schema.below(name), value, &path.child(name.clone()), found);
            }
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, value)| find_atomics(items, value, &path.index(index), found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(live: Value, configuration: Value) -> Result<Value, String> {
        let pod = Schema::named("io.k8s.api.core.v1.Pod").unwrap();
        merge_configuration(&pod, &json!({ "spec": live }), &json!({ "spec": configuration }))
            .map(|merged| merged["spec"].clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_is_merged_by_key_and_all_else_stays() {
        let live = json!({"nodeName": "n", "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]});
        let set =
            json!({"priority": 3, "containers": [{"name": "b", "env": [{"name": "E", "value": "1"}]}, {"name": "c"}]});
        let expect = json!({
            "nodeName": "n", "priority": 3,
            "containers": [
                {"name": "a", "image": "x"},
                {"name": "b", "image": "y", "env": [{"name": "E", "value": "1"}]},
                {"name": "c"},
            ],
        });
        assert_eq!(merged(live, set), Ok(expect));
    }

    #[test]
    fn what_belongs_together_is_not_replaced() {
        for (set, path) in [
            (json!({"tolerations": [{"key": "a"}]}), ".spec.tolerations"),
            (json!({"nodeSelector": {"a": "b"}}), ".spec.nodeSelector"),
            (json!({"containers": [{"name": "a", "args": ["x"]}]}), ".spec.containers[0].args"),
        ] {
            let expect = format!("may not mutate atomic arrays, maps or structs: {path}");
            assert_eq!(merged(json!({}), set), Err(expect));
        }
    }

    #[test]
    fn items_that_cannot_be_told_apart_are_refused() {
        let twice = json!({"containers": [{"name": "a"}, {"name": "a"}]});
        assert!(merged(json!({}), twice).unwrap_err().contains("spec.containers[1]: duplicate entries"));
        assert!(merged(json!({}), json!({"containers": [{"image": "x"}]})).unwrap_err().contains("omits the key"));
    }
}
