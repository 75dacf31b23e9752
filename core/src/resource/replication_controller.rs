//! ReplicationControllers: what ReplicaSets were before.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{fill, object_at, present, set};
use super::pod::default::pod_template;
use super::pod::validate_template;
use super::read::integer;
use super::workload::{replica_cells, replica_columns, validate_counts, validate_lasting, validate_selects};
use super::{Cell, Column, FieldGetter, ResourceDefinition, ScalePaths, ServedVersion, Strategy, WriteContext};
use crate::object::ResourceType;
use crate::status::StatusCause;

/// The resource type.
pub const REPLICATION_CONTROLLERS: ResourceType = ResourceType::new("", "replicationcontrollers");

const SELECTABLE: &[(&str, FieldGetter)] = &[("status.replicas", |set| integer(set, "/status/replicas").to_string())];

struct ReplicationControllerStrategy;

/// What a ReplicationController is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ReplicationController");
    ResourceDefinition {
        short_names: &["rc"],
        categories: &["all"],
        has_status: true,
        scale: Some(ScalePaths {
            spec_replicas: "/spec/replicas",
            status_replicas: "/status/replicas",
            selector: "/spec/selector",
        }),
        selectable: SELECTABLE,
        has_generation: true,
        ..ResourceDefinition::plain(
            REPLICATION_CONTROLLERS,
            "ReplicationController",
            "replicationcontroller",
            version,
            ReplicationControllerStrategy,
        )
    }
}

impl Strategy for ReplicationControllerStrategy {
    /// A controller without selector or labels has those of its template.
    fn default(&self, object: &mut Value) {
        let labels = object.pointer("/spec/template/metadata/labels").filter(|it| it.is_object()).cloned();
        if let Some(labels) = labels {
            if Field::root(object).at("metadata").at("labels").count() == 0
                && let Some(metadata) = object_at(object, "metadata")
            {
                set(metadata, "labels", labels.clone());
            }
            if Field::root(object).at("spec").at("selector").count() == 0
                && let Some(spec) = object_at(object, "spec")
            {
                set(spec, "selector", labels);
            }
        }
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
        let (selector, template) = (spec.at("selector"), spec.at("template"));
        faults.nonnegative(&spec.at("minReadySeconds"));
        faults.nonnegative(&spec.at("replicas"));
        if selector.count() == 0 {
            faults.required(&selector, "");
        }
        if template.is_set() {
            // One that selects nothing is told of already, and matches everything as a map of labels.
            if selector.count() > 0 {
                validate_selects(&selector, &template, &mut faults);
            }
            validate_template(&template, &mut faults);
            validate_lasting(&template, "ReplicationController", &mut faults);
        } else {
            faults.required(&template, "");
        }
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let counts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        validate_counts(&Field::root(object).at("status"), &counts, &mut faults);
        faults.errors.causes()
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn columns(&self) -> Vec<Column> {
        replica_columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        replica_cells(object, now)
    }
}
