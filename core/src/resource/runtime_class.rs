//! RuntimeClasses: what runs the containers of a pod.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::pod::{validate_amounts, validate_tolerations};
use super::read::text;
use super::table::age;
use super::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::object::{ResourceType, names};
use crate::status::StatusCause;

/// The resource type.
pub const RUNTIME_CLASSES: ResourceType = ResourceType::new("node.k8s.io", "runtimeclasses");

struct RuntimeClassStrategy;

/// What a RuntimeClass is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("node.k8s.io", "v1", "io.k8s.api.node.v1.RuntimeClass");
    ResourceDefinition {
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(RUNTIME_CLASSES, "RuntimeClass", "runtimeclass", version, RuntimeClassStrategy)
    }
}

impl Strategy for RuntimeClassStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let class = Field::root(object);
        faults.rule(&class.at("handler"), names::dns_1123_label);
        let overhead = class.at("overhead");
        validate_amounts(&Field { path: overhead.path.child("limits"), ..overhead.at("podFixed") }, &mut faults);
        let scheduling = class.at("scheduling");
        let selector = scheduling.at("nodeSelector");
        names::labels(selector.texts(), &selector.path, &mut faults.errors);
        let tolerations = scheduling.at("tolerations");
        validate_tolerations(&tolerations, &mut faults);
        let mut seen = BTreeSet::new();
        for toleration in tolerations.items() {
            if !seen.insert(["key", "operator", "value", "effect"].map(|name| toleration.at(name).text())) {
                faults.duplicate(&toleration);
            }
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&Field::root(object).at("handler"), &Field::root(old).at("handler"));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Handler", "The runtime's name on the node."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/handler").into(), age(object, now)]
    }
}
