//! Rules that workloads share: selectors, templates, numbers of pods.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::label_selector::validate_label_selector;
use super::pod::validate_template;
use super::read::integer;
use super::table::{age, containers_and_images, or_none};
use super::{Cell, Column};
use crate::object::selector::Selector;
use crate::object::{FieldError, Name, names};

/// The selector and the template of a ReplicaSet or a Deployment.
pub fn validate_selector_and_template(spec: &Field<'_>, faults: &mut Faults) {
    let (selector, template) = (spec.at("selector"), spec.at("template"));
    require_selector(&selector, "deployment", faults);
    validate_selected_template(&selector, &template, faults);
    validate_lasting(&template, "ReplicaSet", faults);
}

/// A selector that is there and selects something; `workload` is what the refusal of an empty one calls its holder.
pub fn require_selector(selector: &Field<'_>, workload: &str, faults: &mut Faults) {
    if !selector.is_set() {
        faults.required(selector, "");
    }
    validate_selector(selector, workload, faults);
}

/// A selector that is not empty where it is there.
pub fn validate_selector(selector: &Field<'_>, workload: &str, faults: &mut Faults) {
    validate_label_selector(selector, faults);
    let requirements = selector.at("matchLabels").count() + selector.at("matchExpressions").count();
    if selector.is_set() && requirements == 0 {
        faults.invalid(selector, format!("empty selector is invalid for {workload}"));
    }
}

/// A template, and that the selector selects the pods made from it.
pub fn validate_selected_template(selector: &Field<'_>, template: &Field<'_>, faults: &mut Faults) {
    validate_selects(selector, template, faults);
    validate_template(template, faults);
}

/// The selector selects the pods made from the template.
pub fn validate_selects(selector: &Field<'_>, template: &Field<'_>, faults: &mut Faults) {
    let labels = template.at("metadata").at("labels");
    match Selector::from_value(selector.value) {
        None if selector.is_set() => faults.invalid(selector, "invalid label selector"),
        Some(selector) if selector.matches(&label_map(&labels)) => {}
        _ => faults.invalid(&labels, "`selector` does not match template `labels`"),
    }
}

/// A template whose pods are to run for ever; `kind` is who makes them.
pub fn validate_lasting(template: &Field<'_>, kind: &str, faults: &mut Faults) {
    let (policy, deadline) = (template.at("spec").at("restartPolicy"), template.at("spec").at("activeDeadlineSeconds"));
    faults.one_of_if_set(&policy, &["Always"]);
    if deadline.is_set() {
        faults.forbidden(&deadline, format!("activeDeadlineSeconds in {kind} is not Supported"));
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

/// The number in a count, or in a percentage; zero where there is none.
pub fn count_or_percent(field: &Field<'_>) -> i64 {
    let percent = || field.text().strip_suffix('%').and_then(|digits| digits.parse().ok());
    field.number().or_else(percent).unwrap_or_default()
}

/// A percentage of pods is no more than all of them.
pub fn validate_at_most_all(field: &Field<'_>, faults: &mut Faults) {
    if field.text().ends_with('%') && count_or_percent(field) > 100 {
        faults.invalid(field, "must not be greater than 100%");
    }
}

/// How often names have collided: a number that only grows.
pub fn validate_collisions(status: &Field<'_>, old: &Field<'_>, faults: &mut Faults) {
    let collisions = status.at("collisionCount");
    faults.nonnegative(&collisions);
    let number = collisions.number().unwrap_or_default();
    if number < old.at("collisionCount").number().unwrap_or_default() {
        faults.errors.push(FieldError::invalid(collisions.path, number, "cannot be decremented"));
    }
}

/// Numbers of pods in a status: none negative, none above `replicas`, and no more available than ready.
pub fn validate_counts(status: &Field<'_>, counts: &[&'static str], faults: &mut Faults) {
    validate_counts_of(status, counts, "cannot be greater than readyReplicas", faults);
}

/// As [`validate_counts`], in other words where more are available than ready.
pub fn validate_counts_of(status: &Field<'_>, counts: &[&'static str], unready: &'static str, faults: &mut Faults) {
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
    above("availableReplicas", "readyReplicas", unready);
}

/// The columns of a ReplicaSet or a ReplicationController.
pub fn replica_columns() -> Vec<Column> {
    let mut columns = vec![
        Column::integer("Desired", "Pods that are wanted."),
        Column::integer("Current", "Pods that there are."),
        Column::integer("Ready", "Pods that are ready."),
        Column::age(),
    ];
    columns.extend(wide_columns());
    columns
}

/// The cells of [`replica_columns`].
pub fn replica_cells(object: &Value, now: Timestamp) -> Vec<Cell> {
    let mut cells = vec![
        integer(object, "/spec/replicas").into(),
        integer(object, "/status/replicas").into(),
        integer(object, "/status/readyReplicas").into(),
        age(object, now),
    ];
    cells.extend(wide_cells(object, "/spec/template", "/spec/selector"));
    cells
}

/// What `-o wide` shows of a workload: its template's containers, their images, and which pods are its own.
pub fn wide_columns() -> [Column; 3] {
    [
        Column::text("Containers", "The names of the template's containers.").wide(),
        Column::text("Images", "The images of the template's containers.").wide(),
        Column::text("Selector", "Which pods belong to it.").wide(),
    ]
}

/// The cells of [`wide_columns`]; the pod template and the selector are found at JSON pointers.
pub fn wide_cells(object: &Value, template: &str, selector: &str) -> [Cell; 3] {
    let [containers, images] = containers_and_images(object, &format!("{template}/spec/containers"));
    [containers, images, shown_selector(object.pointer(selector).unwrap_or(&Value::Null))]
}

/// A label selector, or a plain map of labels, as kubectl shows it.
pub fn shown_selector(selector: &Value) -> Cell {
    let shown = Selector::from_value(selector).map(|selector| selector.to_string()).unwrap_or_default();
    or_none(&shown)
}
