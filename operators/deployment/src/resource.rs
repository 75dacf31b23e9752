//! What a Deployment is on the write path and in tables.

use sampan_core::Timestamp;
use sampan_core::object::ResourceType;
use sampan_core::resource::check::{Faults, Field};
use sampan_core::resource::fill::{fill, object_at, present, set};
use sampan_core::resource::pod::default::pod_template;
use sampan_core::resource::read::{integer, text};
use sampan_core::resource::table::age;
use sampan_core::resource::workload::{
    count_or_percent, validate_at_most_all, validate_collisions, validate_count_or_percent, validate_counts,
    validate_selector_and_template, wide_cells, wide_columns,
};
use sampan_core::resource::{Cell, Column, ResourceDefinition, ScalePaths, ServedVersion, Strategy, WriteContext};
use sampan_core::status::StatusCause;
use serde_json::{Value, json};

/// The resource type.
const DEPLOYMENTS: ResourceType = ResourceType::new("apps", "deployments");

/// A rollout that makes no progress for this long is reported, in seconds.
const PROGRESS_DEADLINE_SECONDS: i64 = 600;
/// How many old ReplicaSets are kept to roll back to.
const REVISION_HISTORY_LIMIT: i64 = 10;
/// How much of a rolling Deployment may be missing, and how much there may be too much.
const ROLLING_SHARE: &str = "25%";

struct DeploymentStrategy;

/// What a Deployment is.
pub fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("apps", "v1", "io.k8s.api.apps.v1.Deployment");
    ResourceDefinition {
        short_names: &["deploy"],
        categories: &["all"],
        has_status: true,
        scale: Some(ScalePaths {
            spec_replicas: "/spec/replicas",
            status_replicas: "/status/replicas",
            selector: "/spec/selector",
        }),
        has_generation: true,
        ..ResourceDefinition::plain(DEPLOYMENTS, "Deployment", "deployment", version, DeploymentStrategy)
    }
}

impl Strategy for DeploymentStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        fill(spec, "replicas", 1);
        fill(spec, "revisionHistoryLimit", REVISION_HISTORY_LIMIT);
        fill(spec, "progressDeadlineSeconds", PROGRESS_DEADLINE_SECONDS);
        if let Some(template) = present(spec, "template") {
            pod_template(template);
        }
        if let Some(strategy) = object_at(spec, "strategy") {
            fill(strategy, "type", "RollingUpdate");
            if text(strategy, "/type") == "RollingUpdate"
                && let Some(rolling) = object_at(strategy, "rollingUpdate")
            {
                fill(rolling, "maxUnavailable", ROLLING_SHARE);
                fill(rolling, "maxSurge", ROLLING_SHARE);
            }
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.nonnegative(&spec.at("replicas"));
        validate_selector_and_template(&spec, &mut faults);
        validate_strategy(&spec.at("strategy"), &mut faults);
        let (ready, deadline) = (spec.at("minReadySeconds"), spec.at("progressDeadlineSeconds"));
        faults.nonnegative(&ready);
        faults.nonnegative(&spec.at("revisionHistoryLimit"));
        faults.nonnegative(&deadline);
        if deadline.number().is_some_and(|seconds| seconds <= ready.number().unwrap_or_default()) {
            faults.invalid(&deadline, "must be greater than minReadySeconds");
        }
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
        validate_counts(&status, &["updatedReplicas", "readyReplicas", "availableReplicas"], &mut faults);
        faults.nonnegative(&status.at("unavailableReplicas"));
        validate_collisions(&status, &Field::root(old).at("status"), &mut faults);
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::text("Ready", "Pods that are ready, of those desired."),
            Column::text("Up-to-date", "Pods of the current template."),
            Column::text("Available", "Pods that have been ready for long enough."),
            Column::age(),
        ];
        columns.extend(wide_columns());
        columns
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let count = |field: &str| integer(object, &format!("/status/{field}"));
        let mut cells = vec![
            format!("{}/{}", count("readyReplicas"), integer(object, "/spec/replicas")).into(),
            count("updatedReplicas").to_string().into(),
            count("availableReplicas").to_string().into(),
            age(object, now),
        ];
        cells.extend(wide_cells(object, "/spec/template", "/spec/selector"));
        cells
    }
}

fn validate_strategy(strategy: &Field<'_>, faults: &mut Faults) {
    let (kind, rolling) = (strategy.at("type"), strategy.at("rollingUpdate"));
    match (kind.text(), rolling.is_set()) {
        ("Recreate", true) => faults.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'"),
        ("Recreate", false) => {}
        ("RollingUpdate", true) => validate_rolling(&rolling, faults),
        ("RollingUpdate", false) => faults.required(&rolling, "this should be defaulted and never be nil"),
        _ => faults.one_of_if_set(&kind, &["Recreate", "RollingUpdate"]),
    }
}

fn validate_rolling(rolling: &Field<'_>, faults: &mut Faults) {
    let (unavailable, surge) = (rolling.at("maxUnavailable"), rolling.at("maxSurge"));
    validate_count_or_percent(&unavailable, faults);
    validate_count_or_percent(&surge, faults);
    if count_or_percent(&unavailable) == 0 && count_or_percent(&surge) == 0 {
        faults.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
    }
    validate_at_most_all(&unavailable, faults);
}
