//! Jobs: pods that run until enough of them have succeeded.

mod columns;
mod indexes;
mod policy;
mod selector;
mod spec;
mod status;
mod update;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{FieldError, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut, object_at, present, set};
use crate::resource::pod::default::pod_template;
use crate::resource::read::{integer, text};
use crate::resource::{Cell, Column, FieldGetter, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

use spec::validate_job_spec;
pub(super) use spec::validate_work;

/// The resource type.
pub const JOBS: ResourceType = ResourceType::new("batch", "jobs");

/// How often the pods of a Job may fail.
const BACKOFF_LIMIT: i64 = 6;

const SELECTABLE: &[(&str, FieldGetter)] =
    &[("status.successful", |job| integer(job, "/status/succeeded").to_string())];

struct JobStrategy;

/// What a Job is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("batch", "v1", "io.k8s.api.batch.v1.Job");
    ResourceDefinition {
        categories: &["all"],
        has_status: true,
        selectable: SELECTABLE,
        has_generation: true,
        ..ResourceDefinition::plain(JOBS, "Job", "job", version, JobStrategy)
    }
}

impl Strategy for JobStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        if is_missing(spec, "parallelism") {
            fill(spec, "completions", 1);
        }
        fill(spec, "parallelism", 1);
        let each_index = !is_missing(spec, "backoffLimitPerIndex");
        fill(spec, "backoffLimit", if each_index { i64::from(i32::MAX) } else { BACKOFF_LIMIT });
        fill(spec, "completionMode", "NonIndexed");
        fill(spec, "suspend", false);
        let replaces_failed = !is_missing(spec, "podFailurePolicy");
        fill(spec, "podReplacementPolicy", if replaces_failed { "Failed" } else { "TerminatingOrFailed" });
        fill(spec, "manualSelector", false);
        default_template(spec);
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        selector::generate(object);
        labels_of_template(object);
        set(object, "status", json!({}));
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value, _cx: &WriteContext<'_>) {
        labels_of_template(object);
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let job = Field::root(object);
        selector::validate(&job, &mut faults);
        validate_job_spec(&job.at("spec"), &mut faults);
        validate_host_names(&job, &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        update::validate(&Field::root(object), &Field::root(old), &mut faults);
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        status::validate(&Field::root(object), &Field::root(old), &mut faults);
        faults.errors.causes()
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        columns::columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        columns::cells(object, now)
    }
}

/// The defaults of the part of a Job's spec that a CronJob's has too.
pub(super) fn default_template(spec: &mut Value) {
    if let Some(template) = present(spec, "template") {
        pod_template(template);
    }
    let Some(policy) = present(spec, "podFailurePolicy") else { return };
    for pattern in items_mut(policy, "rules").flat_map(|rule| items_mut(rule, "onPodConditions")) {
        fill(pattern, "status", "True");
    }
}

/// A Job without labels has those of its template.
fn labels_of_template(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    if Field::root(object).at("metadata").at("labels").count() == 0
        && let (Some(metadata), Some(labels)) = (object_at(object, "metadata"), labels)
    {
        set(metadata, "labels", labels);
    }
}

/// The pods of an indexed Job have its name and their index as host name.
fn validate_host_names(job: &Field<'_>, faults: &mut Faults) {
    let (spec, name) = (job.at("spec"), job.at("metadata").at("name"));
    let completions = spec.at("completions").number().unwrap_or_default();
    if spec.at("completionMode").text() == "Indexed" && completions > 0 {
        let last = format!("{}-{}", name.text(), completions - 1);
        if !names::dns_1123_label(&last).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {last}");
            faults.errors.push(FieldError::invalid(name.path.clone(), name.text(), why));
        }
    }
}

fn is_missing(spec: &Value, field: &str) -> bool {
    spec.get(field).is_none_or(Value::is_null)
}

/// Whether a condition of the status is true.
fn has_condition(job: &Value, kind: &str) -> bool {
    let mut conditions = crate::resource::read::items(job, "/status/conditions");
    conditions.any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}
