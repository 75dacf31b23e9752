//! What may change of a Job that exists: how many pods at once, and while it has not started, where they go.

use serde_json::Value;

use super::has_condition;
use crate::resource::check::{Faults, Field};
use crate::resource::equal::{normal, same};
use crate::resource::fill::{clear, items_mut, present, set};

/// The fields of a spec that never change.
const FIXED: [&str; 6] =
    ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];
/// The fields of a pod's spec that say where it may go.
const DIRECTIVES: [&str; 3] = ["nodeSelector", "tolerations", "schedulingGates"];

pub(super) fn validate(job: &Field<'_>, old: &Field<'_>, faults: &mut Faults) {
    let (spec, before) = (job.at("spec"), old.at("spec"));
    for field in FIXED {
        faults.immutable(&spec.at(field), &before.at(field));
    }
    completions(&spec, &before, faults);
    template(&spec.at("template"), old, faults);
}

/// The completions of an indexed Job follow its parallelism.
fn completions(spec: &Field<'_>, before: &Field<'_>, faults: &mut Faults) {
    let (new, old) = (spec.at("completions"), before.at("completions"));
    if spec.at("completionMode").text() != "Indexed" {
        return faults.immutable(&new, &old);
    }
    if new.value != old.value && new.is_set() && new.value != spec.at("parallelism").value {
        faults.invalid(&new, "can only be modified in tandem with spec.parallelism");
    }
}

fn template(template: &Field<'_>, old: &Field<'_>, faults: &mut Faults) {
    let mut before = old.at("spec").at("template").value.clone();
    let suspended = old.at("spec").at("suspend").is_true();
    let idle = has_condition(old.value, "Suspended") && old.at("status").at("active").number().unwrap_or_default() == 0;
    if suspended && (idle || !old.at("status").at("startTime").is_set()) {
        take_directives(&mut before, template.value);
    }
    if suspended && idle {
        take_resources(&mut before, template.value);
    }
    if !same(template.value, &before) {
        faults.invalid(template, "field is immutable");
    }
}

/// Labels, annotations and where the pods may go, as the new template has them.
fn take_directives(before: &mut Value, template: &Value) {
    let from = |pointer: &str| template.pointer(pointer).cloned();
    if let Some(metadata) = present(before, "metadata") {
        for field in ["labels", "annotations"] {
            put(metadata, field, from(&format!("/metadata/{field}")));
        }
    }
    let Some(spec) = present(before, "spec") else { return };
    for field in DIRECTIVES {
        put(spec, field, from(&format!("/spec/{field}")));
    }
    let mut affinity = spec.get("affinity").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    put(&mut affinity, "nodeAffinity", from("/spec/affinity/nodeAffinity"));
    let says_nothing = normal(&affinity).as_object().is_some_and(serde_json::Map::is_empty);
    put(spec, "affinity", (!says_nothing || from("/spec/affinity").is_some()).then_some(affinity));
}

fn take_resources(before: &mut Value, template: &Value) {
    let Some(spec) = present(before, "spec") else { return };
    for list in ["containers", "initContainers"] {
        let new = Field::root(template).at("spec").at(list);
        for (container, new) in items_mut(spec, list).zip(new.items()) {
            put(container, "resources", Some(new.at("resources").value.clone()));
        }
    }
}

fn put(object: &mut Value, field: &str, value: Option<Value>) {
    match value {
        Some(value) => set(object, field, value),
        None => clear(object, field),
    }
}
