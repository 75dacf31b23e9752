//! IngressClasses: who serves Ingresses.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::{FieldError, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, present};
use crate::resource::read::text;
use crate::resource::table::{NONE, age};
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const INGRESS_CLASSES: ResourceType = ResourceType::new("networking.k8s.io", "ingressclasses");

/// The longest name of a controller, in bytes.
const CONTROLLER_MAX_BYTES: usize = 250;

struct IngressClassStrategy;

/// What an IngressClass is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("networking.k8s.io", "v1", "io.k8s.api.networking.v1.IngressClass");
    ResourceDefinition {
        scope: Scope::Cluster,
        has_generation: true,
        ..ResourceDefinition::plain(INGRESS_CLASSES, "IngressClass", "ingressclass", version, IngressClassStrategy)
    }
}

impl Strategy for IngressClassStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(parameters) = present(object, "spec").and_then(|spec| present(spec, "parameters")) {
            fill(parameters, "scope", "Cluster");
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        let controller = spec.at("controller");
        if controller.text().len() > CONTROLLER_MAX_BYTES {
            faults.errors.push(FieldError::too_long(controller.path.clone(), CONTROLLER_MAX_BYTES));
        }
        faults.required_rule(&controller, names::domain_prefixed_path);
        if spec.at("parameters").is_set() {
            validate_parameters(&spec.at("parameters"), &mut faults);
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let controller = |object| Field::root(object).at("spec").at("controller");
        faults.immutable(&controller(object), &controller(old));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Controller", "Who serves the class."),
            Column::text("Parameters", "What the controller is told."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let shown = |parameters: &Value| {
            let group = parameters.get("apiGroup").and_then(Value::as_str).map(|group| format!(".{group}"));
            format!("{}{}/{}", text(parameters, "/kind"), group.unwrap_or_default(), text(parameters, "/name"))
        };
        let parameters = object.pointer("/spec/parameters").filter(|parameters| parameters.is_object());
        vec![
            text(object, "/spec/controller").into(),
            parameters.map_or(NONE.into(), |parameters| shown(parameters).into()),
            age(object, now),
        ]
    }
}

fn validate_parameters(parameters: &Field<'_>, faults: &mut Faults) {
    let [group, kind, name, scope, namespace] =
        ["apiGroup", "kind", "name", "scope", "namespace"].map(|field| parameters.at(field));
    if group.is_set() {
        faults.rule(&group, names::dns_1123_subdomain);
    }
    faults.required_rule(&kind, names::path_segment);
    faults.required_rule(&name, names::path_segment);
    faults.one_of(&scope, &["Cluster", "Namespace"]);
    match (scope.text(), namespace.is_set()) {
        ("Namespace", false) => faults.required(&namespace, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", true) => faults.rule(&namespace, names::dns_1123_label),
        ("Cluster", true) => faults.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'"),
        _ => {}
    }
}
