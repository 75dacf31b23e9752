//! The smallest patch that turns one pod status into another.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// Lists that a strategic merge patch merges item by item, and the key of their items.
const MERGED_LISTS: [(&str, &str); 3] = [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip")];

/// The patch that changes nothing of a pod that is still the one meant.
pub(super) fn no_patch(uid: &str) -> Value {
    json!({ "metadata": { "uid": uid } })
}

/// A strategic merge patch from `before` to `after`, or nothing where they are equal.
pub(super) fn status_patch(uid: &str, before: &PodStatus, after: &PodStatus) -> Option<Value> {
    if before == after {
        return None;
    }
    let (before, after) = (object(before), object(after));
    let mut changed = Map::new();
    for (field, value) in &after {
        let old = before.get(field);
        if old == Some(value) {
            continue;
        }
        match MERGED_LISTS.iter().find(|(name, _)| name == field) {
            // The API server keeps its own order of such a list: the same items in another order are no change.
            Some((_, key)) => {
                let items = merged_list(key, old, value);
                if !items.is_empty() {
                    changed.insert(field.clone(), Value::Array(items));
                }
            }
            None => {
                changed.insert(field.clone(), value.clone());
            }
        }
    }
    for field in before.keys().filter(|field| !after.contains_key(*field)) {
        changed.insert(field.clone(), Value::Null);
    }
    (!changed.is_empty()).then(|| json!({ "metadata": { "uid": uid }, "status": changed }))
}

fn object(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// The items that changed, and a deletion for each that is gone.
fn merged_list(key: &str, before: Option<&Value>, after: &Value) -> Vec<Value> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (before, after) = (list(before), list(Some(after)));
    let known = |item: &Value| before.iter().find(|old| old.get(key) == item.get(key));
    let changed = after.iter().filter(|item| !before.contains(item));
    let mut items: Vec<Value> = changed.map(|item| merged_item(known(item), item)).collect();
    for gone in before.iter().filter(|old| !after.iter().any(|new| new.get(key) == old.get(key))) {
        if let Some(value) = gone.get(key) {
            items.push(json!({ key: value, "$patch": "delete" }));
        }
    }
    items
}

/// An item as it should be. A merge keeps what it does not name: fields the item no longer has are removed by name, or the
/// object would never become what is wanted, and be patched for ever.
fn merged_item(before: Option<&Value>, after: &Value) -> Value {
    let mut item = after.clone();
    let old_fields = before.and_then(Value::as_object).into_iter().flatten().map(|(field, _)| field);
    if let Some(fields) = item.as_object_mut() {
        for field in old_fields {
            fields.entry(field.as_str()).or_insert(Value::Null);
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> PodStatus {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_field_an_item_no_longer_has_is_removed_by_name() {
        let before = status(r#"{"conditions": [{"type": "Ready", "status": "False", "message": "unready"}]}"#);
        let after = status(r#"{"conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}]}"#);
        let patch = status_patch("u", &before, &after).unwrap();
        assert_eq!(patch["status"]["conditions"][0]["message"], Value::Null);
        assert!(patch["status"]["conditions"][0].as_object().unwrap().contains_key("message"));
    }

    #[test]
    fn the_same_conditions_in_another_order_need_no_patch() {
        let one = status(r#"{"conditions":[{"type":"A","status":"True"},{"type":"B","status":"True"}]}"#);
        let other = status(r#"{"conditions":[{"type":"B","status":"True"},{"type":"A","status":"True"}]}"#);
        assert_eq!(status_patch("u", &one, &other), None);
    }

    #[test]
    fn equal_statuses_need_no_patch() {
        let same = status(r#"{"phase":"Running","podIPs":[{"ip":"10.0.0.1"}]}"#);
        assert_eq!(status_patch("u", &same, &same.clone()), None);
    }

    #[test]
    fn only_what_changed_is_sent() {
        let before = status(
            r#"{"phase":"Pending","hostIP":"1.1.1.1","conditions":[{"type":"A","status":"True"},{"type":"B","status":"False"}]}"#,
        );
        let after = status(
            r#"{"phase":"Running","hostIP":"1.1.1.1","conditions":[{"type":"A","status":"True"},{"type":"B","status":"True"}]}"#,
        );
        let patch = status_patch("u", &before, &after).unwrap();
        assert_eq!(
            patch,
            json!({"metadata":{"uid":"u"},"status":{"phase":"Running","conditions":[{"type":"B","status":"True"}]}})
        );
    }

    #[test]
    fn an_address_that_is_replaced_is_deleted_from_the_list() {
        let before = status(r#"{"podIPs":[{"ip":"10.0.0.1"}],"reason":"x"}"#);
        let after = status(r#"{"podIPs":[{"ip":"10.0.0.2"}]}"#);
        let patch = status_patch("u", &before, &after).unwrap();
        assert_eq!(
            patch["status"],
            json!({"podIPs":[{"ip":"10.0.0.2"},{"ip":"10.0.0.1","$patch":"delete"}],"reason":null})
        );
    }
}
