//! What a ReplicaSet is on the write path and in tables.

use sampan_core::Timestamp;
use sampan_core::object::ResourceType;
use sampan_core::resource::check::{Faults, Field};
use sampan_core::resource::fill::{fill, object_at, present, set};
use sampan_core::resource::pod::default::pod_template;
use sampan_core::resource::read::integer;
use sampan_core::resource::workload::{
    replica_cells, replica_columns, validate_counts, validate_selector_and_template,
};
use sampan_core::resource::{
    Cell, Column, FieldGetter, ResourceDefinition, ScalePaths, ServedVersion, Strategy, WriteContext,
};
use sampan_core::status::StatusCause;
use serde_json::{Value, json};

/// The resource type.
pub const REPLICA_SETS: ResourceType = ResourceType::new("apps", "replicasets");

const SELECTABLE: &[(&str, FieldGetter)] = &[("status.replicas", |set| integer(set, "/status/replicas").to_string())];

struct ReplicaSetStrategy;

/// What a ReplicaSet is.
pub fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("apps", "v1", "io.k8s.api.apps.v1.ReplicaSet");
    ResourceDefinition {
        short_names: &["rs"],
        categories: &["all"],
        has_status: true,
        scale: Some(ScalePaths {
            spec_replicas: "/spec/replicas",
            status_replicas: "/status/replicas",
            selector: "/spec/selector",
        }),
        selectable: SELECTABLE,
        has_generation: true,
        ..ResourceDefinition::plain(REPLICA_SETS, "ReplicaSet", "replicaset", version, ReplicaSetStrategy)
    }
}

impl Strategy for ReplicaSetStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        fill(spec, "replicas", 1);
        if let Some(template) = present(spec, "template") {
            pod_template(template);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({"replicas": 0}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.nonnegative(&spec.at("replicas"));
        faults.nonnegative(&spec.at("minReadySeconds"));
        validate_selector_and_template(&spec, &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&Field::root(object).at("spec").at("selector"), &Field::root(old).at("spec").at("selector"));
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let counts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        validate_counts(&Field::root(object).at("status"), &counts, &mut faults);
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        replica_columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        replica_cells(object, now)
    }
}
