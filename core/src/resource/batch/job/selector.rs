//! A Job's selector is made by the server, so that no two Jobs select the same pods.

use serde_json::{Value, json};

use crate::object::FieldError;
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, object_at};
use crate::resource::read::{is_true, text};

/// The labels of a Job's pods that hold its uid and its name, with the spelling of before they had a prefix.
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

/// Labels the pods with uid and name of their Job, and selects them by the uid, unless the user does it all.
pub(super) fn generate(object: &mut Value) {
    if is_true(object, "/spec/manualSelector") {
        return;
    }
    let (uid, name) = (text(object, "/metadata/uid").to_owned(), text(object, "/metadata/name").to_owned());
    let Some(spec) = object_at(object, "spec") else { return };
    let metadata = object_at(spec, "template").and_then(|template| object_at(template, "metadata"));
    if let Some(labels) = metadata.and_then(|metadata| object_at(metadata, "labels")) {
        UID_LABELS.iter().for_each(|label| fill(labels, label, uid.clone()));
        NAME_LABELS.iter().for_each(|label| fill(labels, label, name.clone()));
    }
    if let Some(selected) = object_at(spec, "selector").and_then(|selector| object_at(selector, "matchLabels")) {
        fill(selected, UID_LABELS[1], uid);
    }
}

/// What was to be generated is as it would be: a user who sets one of the labels sets the same.
pub(super) fn validate(job: &Field<'_>, faults: &mut Faults) {
    let (metadata, spec) = (job.at("metadata"), job.at("spec"));
    let selector = spec.at("selector");
    if spec.at("manualSelector").is_true() || !selector.is_set() {
        return;
    }
    let (uid, name) = (metadata.at("uid").text(), metadata.at("name").text());
    let labels = spec.at("template").at("metadata").at("labels");
    let wanted = UID_LABELS.iter().map(|label| (*label, uid)).chain(NAME_LABELS.iter().map(|label| (*label, name)));
    for (label, value) in wanted.clone() {
        match labels.value.get(label).and_then(Value::as_str) {
            Some(found) if found == value => {}
            Some(_) => {
                let why = format!("must be '{value}'");
                faults.errors.push(FieldError::invalid(labels.path.key(label), labels.value.clone(), why));
            }
            None => faults.errors.push(FieldError::required(labels.path.key(label), format!("must be '{value}'"))),
        }
    }
    let generated: serde_json::Map<String, Value> =
        wanted.map(|(label, value)| (label.to_owned(), json!(value))).collect();
    let selects = selector.at("matchLabels").texts().all(|(label, value)| generated.get(label) == Some(&json!(value)));
    if !selects {
        faults.invalid(&selector, "`selector` not auto-generated");
    }
}
