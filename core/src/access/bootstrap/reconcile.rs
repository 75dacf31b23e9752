//! What is missing of a role or binding, added to what is there.

use serde_json::{Map, Value};

use super::AUTOUPDATE;
use crate::access::{PolicyRule, uncovered};

/// The role as it is to become; `None` where it stays.
pub(super) fn role(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut role = kept(existing)?;
    add_metadata(&mut role, wanted);
    match wanted.get("aggregationRule") {
        Some(rule) => set(&mut role, "aggregationRule", rule.clone()),
        None => add_rules(&mut role, wanted),
    }
    (role != *existing).then_some(role)
}

/// The binding as it is to become; `None` where it stays.
pub(super) fn binding(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut binding = kept(existing)?;
    add_metadata(&mut binding, wanted);
    let mut subjects = list(existing, "subjects");
    let missing: Vec<Value> = list(wanted, "subjects").into_iter().filter(|it| !subjects.contains(it)).collect();
    if !missing.is_empty() {
        subjects.extend(missing);
        set(&mut binding, "subjects", Value::Array(subjects));
    }
    (binding != *existing).then_some(binding)
}

/// A copy to be changed; `None` where its owner has taken it over.
fn kept(existing: &Value) -> Option<Value> {
    let annotation = existing.get("metadata")?.get("annotations").and_then(|it| it.get(AUTOUPDATE));
    let is_left_alone = annotation.and_then(Value::as_str) == Some("false");
    (!is_left_alone).then(|| existing.clone())
}

fn list(object: &Value, field: &str) -> Vec<Value> {
    object.get(field).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// Labels and annotations that are missing. What they were changed to stays.
fn add_metadata(object: &mut Value, wanted: &Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for field in ["labels", "annotations"] {
        let wanted = wanted.get("metadata").and_then(|it| it.get(field)).and_then(Value::as_object);
        let present = metadata.entry(field).or_insert_with(|| Value::Object(Map::new()));
        for (name, value) in wanted.into_iter().flatten() {
            if let Some(present) = present.as_object_mut() {
                present.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

/// The rules that what is there does not cover.
fn add_rules(role: &mut Value, wanted: &Value) {
    let rules = |object: &Value| -> Vec<PolicyRule> {
        object.get("rules").and_then(|rules| serde_json::from_value(rules.clone()).ok()).unwrap_or_default()
    };
    let held = rules(role);
    let missing = uncovered(&held, &rules(wanted)).expect("roles of the system say little");
    if !missing.is_empty() {
        let all: Vec<PolicyRule> = held.into_iter().chain(missing).collect();
        set(role, "rules", serde_json::json!(all));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(name: &str, verbs: &[&str]) -> Value {
        json!({"metadata": {"name": name}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]})
    }

    #[test]
    fn what_is_missing_is_added_and_what_was_added_stays() {
        let wanted = of("view", &["get", "list"]);
        let changed = role(&of("view", &["list", "delete"]), &wanted).unwrap();
        let expect = json!([
            {"verbs": ["list", "delete"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
        ]);
        assert_eq!(changed["rules"], expect);
        assert_eq!(role(&changed, &wanted), None, "once is enough");
    }

    #[test]
    fn what_its_owner_has_taken_over_is_left_alone() {
        let mut existing = of("view", &["list"]);
        existing["metadata"]["annotations"] = json!({AUTOUPDATE: "false"});
        assert_eq!(role(&existing, &of("view", &["get"])), None);
    }

    #[test]
    fn a_subject_that_was_taken_away_comes_back() {
        let subject = |name: &str| json!({"kind": "Group", "name": name});
        let existing = json!({"metadata": {}, "subjects": [subject("mine")]});
        let wanted = json!({"metadata": {"labels": {"a": "b"}}, "subjects": [subject("theirs")]});
        let changed = binding(&existing, &wanted).unwrap();
        assert_eq!(changed["subjects"], json!([subject("mine"), subject("theirs")]));
        assert_eq!(changed["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(binding(&changed, &wanted), None);
    }
}
