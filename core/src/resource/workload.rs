//! Rules that workloads share: selectors, templates, numbers of pods.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Faults, Field};
use super::label_selector::validate_label_selector;
use super::pod::validate_template;
use crate::object::selector::Selector;
use crate::object::{FieldError, Name, names};

/// A workload's selector and its template: the selector is not empty and selects the template's pods.
pub fn validate_selector_and_template(spec: &Field<'_>, faults: &mut Faults) {
    let (selector, template) = (spec.at("selector"), spec.at("template"));
    if !selector.is_set() {
        faults.required(&selector, "");
    }
    validate_label_selector(&selector, faults);
    let requirements = selector.at("matchLabels").count() + selector.at("matchExpressions").count();
    if selector.is_set() && requirements == 0 {
        faults.invalid(&selector, "empty selector is invalid for deployment");
    }
    let labels = template.at("metadata").at("labels");
    match Selector::from_value(selector.value) {
        None if selector.is_set() => return faults.invalid(&selector, "invalid label selector"),
        Some(selector) if selector.matches(&label_map(&labels)) => {}
        _ => faults.invalid(&labels, "`selector` does not match template `labels`"),
    }
    validate_template(&template, faults);
    let (policy, deadline) = (template.at("spec").at("restartPolicy"), template.at("spec").at("activeDeadlineSeconds"));
    faults.one_of_if_set(&policy, &["Always"]);
    if deadline.is_set() {
        faults.forbidden(&deadline, "activeDeadlineSeconds in ReplicaSet is not Supported");
    }
}

fn label_map(labels: &Field<'_>) -> BTreeMap<Name, Name> {
    labels.texts().map(|(label, value)| (label.into(), value.into())).collect()
}

/// A number of pods, or a percentage of them.
pub fn validate_count_or_percent(field: &Field<'_>, faults: &mut Faults) {
    match field.value {
        Value::String(_) => faults.rule(field, names::percent),
        _ => faults.nonnegative(field),
    }
}

/// Numbers of pods in a status: none negative, none above `replicas`, and no more available than ready.
pub fn validate_counts(status: &Field<'_>, counts: &[&'static str], faults: &mut Faults) {
    let number = |name| status.at(name).number().unwrap_or_default();
    for name in ["replicas", "observedGeneration"].iter().chain(counts) {
        faults.nonnegative(&status.at(name));
    }
    let mut above = |name: &'static str, most: &'static str, why: &'static str| {
        if number(name) > number(most) {
            faults.errors.push(FieldError::invalid(status.path.child(name), number(name), why));
        }
    };
    for name in counts {
        above(name, "replicas", "cannot be greater than status.replicas");
    }
    above("availableReplicas", "readyReplicas", "cannot be greater than readyReplicas");
}
