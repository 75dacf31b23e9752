//! DaemonSets: a pod on every node that fits.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{FieldError, ResourceType};
use crate::resource::check::{Faults, Field};
use crate::resource::equal::same;
use crate::resource::fill::{fill, object_at, present, set};
use crate::resource::pod::default::pod_template;
use crate::resource::read::{integer, text};
use crate::resource::table::age;
use crate::resource::workload::{
    count_or_percent, shown_selector, validate_at_most_all, validate_collisions, validate_count_or_percent,
    validate_lasting, validate_selected_template, validate_selector, wide_cells, wide_columns,
};
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const DAEMON_SETS: ResourceType = ResourceType::new("apps", "daemonsets");

/// How many old revisions are kept to roll back to.
const REVISION_HISTORY_LIMIT: i64 = 10;
/// Counts the templates a DaemonSet has had; kept for clients of before `apps/v1`.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// The numbers of pods in a status that are always shown, and those that may be missing.
const COUNTS: [&str; 4] = ["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"];
const FURTHER_COUNTS: [&str; 4] =
    ["observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable"];

struct DaemonSetStrategy;

/// What a DaemonSet is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("apps", "v1", "io.k8s.api.apps.v1.DaemonSet");
    ResourceDefinition {
        short_names: &["ds"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(DAEMON_SETS, "DaemonSet", "daemonset", version, DaemonSetStrategy)
    }
}

impl Strategy for DaemonSetStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        fill(spec, "revisionHistoryLimit", REVISION_HISTORY_LIMIT);
        if let Some(template) = present(spec, "template") {
            pod_template(template);
        }
        let Some(strategy) = object_at(spec, "updateStrategy") else { return };
        fill(strategy, "type", "RollingUpdate");
        if text(strategy, "/type") == "RollingUpdate"
            && let Some(rolling) = object_at(strategy, "rollingUpdate")
        {
            fill(rolling, "maxUnavailable", 1);
            fill(rolling, "maxSurge", 0);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        let counts = COUNTS.iter().map(|name| ((*name).to_owned(), json!(0)));
        set(object, "status", counts.collect::<serde_json::Map<_, _>>());
        set_template_generation(object, 1);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, _cx: &WriteContext<'_>) {
        let template = |object: &Value| object.pointer("/spec/template").cloned().unwrap_or_default();
        let changed = !same(&template(object), &template(old));
        set_template_generation(object, template_generation(old) + i64::from(changed));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        validate_selector(&spec.at("selector"), "daemonset", &mut faults);
        validate_selected_template(&spec.at("selector"), &spec.at("template"), &mut faults);
        validate_lasting(&spec.at("template"), "DaemonSet", &mut faults);
        faults.nonnegative(&spec.at("minReadySeconds"));
        validate_strategy(&spec.at("updateStrategy"), &mut faults);
        faults.nonnegative(&spec.at("revisionHistoryLimit"));
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&Field::root(object).at("spec").at("selector"), &Field::root(old).at("spec").at("selector"));
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let status = Field::root(object).at("status");
        for name in COUNTS.iter().chain(&FURTHER_COUNTS) {
            faults.nonnegative(&status.at(name));
        }
        validate_collisions(&status, &Field::root(old).at("status"), &mut faults);
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::integer("Desired", "Nodes that should run its pod."),
            Column::integer("Current", "Nodes that should run its pod, and do."),
            Column::integer("Ready", "Nodes on which its pod is ready."),
            Column::integer("Up-to-date", "Nodes that run a pod of the current template."),
            Column::integer("Available", "Nodes on which its pod has been ready for long enough."),
            Column::text("Node Selector", "The labels of nodes that should run its pod."),
            Column::age(),
        ];
        columns.extend(wide_columns());
        columns
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let counts = [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        ];
        let mut cells: Vec<Cell> =
            counts.iter().map(|count| integer(object, &format!("/status/{count}")).into()).collect();
        cells.push(shown_selector(object.pointer("/spec/template/spec/nodeSelector").unwrap_or(&Value::Null)));
        cells.push(age(object, now));
        cells.extend(wide_cells(object, "/spec/template", "/spec/selector"));
        cells
    }
}

fn template_generation(object: &Value) -> i64 {
    let annotations = object.pointer("/metadata/annotations");
    let counted = annotations.and_then(|it| it.get(TEMPLATE_GENERATION)).and_then(Value::as_str);
    counted.and_then(|number| number.parse().ok()).unwrap_or(1)
}

fn set_template_generation(object: &mut Value, generation: i64) {
    if let Some(annotations) = object_at(object, "metadata").and_then(|metadata| object_at(metadata, "annotations")) {
        set(annotations, TEMPLATE_GENERATION, generation.to_string());
    }
}

fn validate_strategy(strategy: &Field<'_>, faults: &mut Faults) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.at("type").text() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => faults.required(&rolling, ""),
        "RollingUpdate" => validate_rolling(&rolling, faults),
        _ => faults.errors.push(FieldError::not_supported(
            strategy.path.clone(),
            strategy.value.clone(),
            &["RollingUpdate", "OnDelete"],
        )),
    }
}

/// Either some may be missing for a while, or some may be too many.
fn validate_rolling(rolling: &Field<'_>, faults: &mut Faults) {
    let (unavailable, surge) = (rolling.at("maxUnavailable"), rolling.at("maxSurge"));
    for count in [&unavailable, &surge] {
        validate_count_or_percent(count, faults);
        validate_at_most_all(count, faults);
    }
    match (count_or_percent(&unavailable), count_or_percent(&surge)) {
        (0, 0) => faults.required(&unavailable, "cannot be 0 when maxSurge is 0"),
        (0, _) | (_, 0) => {}
        _ => faults.invalid(&surge, "may not be set when maxUnavailable is non-zero"),
    }
}
