//! What may change of a pod that exists: almost nothing.

use serde_json::Value;

use super::placement;
use crate::object::{FieldError, FieldPath, names};
use crate::resource::check::{Faults, Field};
use crate::resource::equal::normal;
use crate::resource::fill::{clear, items_mut, set};

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                          `spec.tolerations` (only additions to existing tolerations),\
                          `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(in crate::resource::pod) fn update(pod: &Value, old: &Value) -> Faults {
    let mut faults = Faults::default();
    let (spec, before) = (Field::root(pod).at("spec"), Field::root(old).at("spec"));
    if spec.value == before.value {
        return faults;
    }
    let (new_spec, old_spec) = (normal(spec.value), normal(before.value));
    let spec = Field { value: &new_spec, ..spec };
    let before = Field { value: &old_spec, ..before };
    for list in ["containers", "initContainers"] {
        if spec.at(list).count() != before.at(list).count() {
            faults.forbidden(&spec.at(list), "pod updates may not add or remove containers");
            return faults;
        }
    }
    if !deadline(&spec, &before, &mut faults) {
        return faults;
    }
    tolerations(&spec, &before, &mut faults);
    scheduling_gates(&spec, &before, &mut faults);
    let levelled = level(spec.value, before.value, &mut faults);
    if &levelled != before.value {
        let differences = differences(&levelled, before.value, &FieldPath::new("spec")).join("\n");
        let why = format!("pod updates may not change fields other than {CHANGEABLE}\n{differences}\n");
        faults.forbidden(&spec, why);
    }
    faults
}

/// The deadline may be set, and be brought nearer.
fn deadline(spec: &Field<'_>, before: &Field<'_>, faults: &mut Faults) -> bool {
    let (new, old) = (spec.at("activeDeadlineSeconds"), before.at("activeDeadlineSeconds").number());
    match (new.number(), old) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            faults.number_rule(&new, |seconds| names::in_range(seconds, 0, i64::from(i32::MAX)));
            return false;
        }
        (Some(seconds), Some(earlier)) if seconds > earlier => {
            faults.invalid(&new, "must be less than or equal to previous value");
            return false;
        }
        (None, Some(_)) => faults.invalid(&new, "must not update from a positive integer to nil value"),
        _ => {}
    }
    true
}

fn tolerations(spec: &Field<'_>, before: &Field<'_>, faults: &mut Faults) {
    let tolerations = spec.at("tolerations");
    let same = |one: &Value, other: &Value| {
        let without_seconds = |toleration: &Value| {
            let mut toleration = toleration.clone();
            clear(&mut toleration, "tolerationSeconds");
            toleration
        };
        without_seconds(one) == without_seconds(other)
    };
    let kept = |old: &Field<'_>| tolerations.items().any(|new| same(new.value, old.value));
    if !before.at("tolerations").items().all(|old| kept(&old)) {
        return faults.forbidden(&tolerations, "existing toleration can not be modified except its tolerationSeconds");
    }
    placement::tolerations(&tolerations, faults);
}

fn scheduling_gates(spec: &Field<'_>, before: &Field<'_>, faults: &mut Faults) {
    for gate in spec.at("schedulingGates").items() {
        let name = gate.at("name");
        if !before.at("schedulingGates").items().any(|old| old.at("name").text() == name.text()) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", name.text());
            faults.forbidden(&name, why);
        }
    }
}

/// The new spec with what may change as it was before: what then differs must not.
fn level(spec: &Value, before: &Value, faults: &mut Faults) -> Value {
    let mut levelled = spec.clone();
    for list in ["containers", "initContainers"] {
        let images = Field::root(before).at(list).items().map(|it| it.at("image").value).collect::<Vec<_>>();
        for (container, image) in items_mut(&mut levelled, list).zip(images) {
            set(container, "image", image.clone());
        }
    }
    let mut restored = vec!["activeDeadlineSeconds", "schedulingGates", "tolerations"];
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(before).is_some_and(|seconds| seconds < 0) && grace(spec) == Some(1) {
        restored.push("terminationGracePeriodSeconds");
    }
    if Field::root(before).at("schedulingGates").count() > 0 {
        node_selector_of_gated(spec, before, faults);
        restored.extend(["nodeSelector"]);
        level_node_affinity(&mut levelled, before);
    }
    for field in restored {
        match before.get(field) {
            Some(value) => set(&mut levelled, field, value.clone()),
            None => clear(&mut levelled, field),
        }
    }
    levelled
}

/// A gated pod may be narrowed to fewer nodes, never widened.
fn node_selector_of_gated(spec: &Value, before: &Value, faults: &mut Faults) {
    let path = FieldPath::new("spec").child("nodeSelector");
    let selector = Field { value: spec.get("nodeSelector").unwrap_or(&Value::Null), path: path.clone() };
    for (label, value) in Field::root(before).at("nodeSelector").texts() {
        let kept = selector.texts().find(|(known, _)| *known == label).map(|(_, value)| value);
        let why = match kept {
            Some(kept) if kept == value => continue,
            Some(_) => "only additions are allowed (no mutations or deletions)",
            None => "only additions are allowed (no mutations or deletions)",
        };
        faults.errors.push(FieldError::invalid(path.key(label), kept.unwrap_or_default(), why));
    }
}

fn level_node_affinity(levelled: &mut Value, before: &Value) {
    let old = before.get("affinity").and_then(|affinity| affinity.get("nodeAffinity"));
    let Some(affinity) = levelled.get_mut("affinity") else { return };
    match old {
        Some(old) => set(affinity, "nodeAffinity", old.clone()),
        None => clear(affinity, "nodeAffinity"),
    }
    if before.get("affinity").is_none() && affinity.as_object().is_some_and(serde_json::Map::is_empty) {
        clear(levelled, "affinity");
    }
}

/// Where two values differ, one line each.
fn differences(new: &Value, old: &Value, path: &FieldPath) -> Vec<String> {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            let names: std::collections::BTreeSet<&String> = new.keys().chain(old.keys()).collect();
            let value = |map: &serde_json::Map<String, Value>, name: &str| map.get(name).cloned().unwrap_or_default();
            let below = |name: &String| differences(&value(new, name), &value(old, name), &path.child(name.clone()));
            names.into_iter().flat_map(below).collect()
        }
        (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
            let pairs = new.iter().zip(old).enumerate();
            pairs.flat_map(|(index, (new, old))| differences(new, old, &path.index(index))).collect()
        }
        _ if new == old => Vec::new(),
        _ => vec![format!("  {path}: {old} → {new}")],
    }
}
