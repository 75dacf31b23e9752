//! Namespaces: where the names of most objects live.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{object_at, set};
use super::read::{items, size, text};
use super::{
    Cell, Column, FieldGetter, ResourceDefinition, Scope, ServedVersion, Strategy, SubresourceDefinition, Verb,
    WriteContext, table,
};
use crate::object::{ResourceType, names};
use crate::status::{Status, StatusCause};

/// The resource type.
pub const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");

/// Held by a namespace until all its objects are gone.
const FINALIZER: &str = "kubernetes";
/// Every namespace carries its name as this label.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Of what empties itself step by step nobody deletes many at once.
const VERBS: &[Verb] = &[Verb::Create, Verb::Delete, Verb::Get, Verb::List, Verb::Patch, Verb::Update, Verb::Watch];

const SUBRESOURCES: &[SubresourceDefinition] = &[SubresourceDefinition::fields("finalize", &[Verb::Update])];

const SELECTABLE: &[(&str, FieldGetter)] = &[("status.phase", |namespace| text(namespace, "/status/phase").to_owned())];

struct NamespaceStrategy;

/// What a Namespace is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.Namespace");
    ResourceDefinition {
        short_names: &["ns"],
        scope: Scope::Cluster,
        has_status: true,
        verbs: VERBS,
        subresources: SUBRESOURCES,
        selectable: SELECTABLE,
        ..ResourceDefinition::plain(NAMESPACES, "Namespace", "namespace", version, NamespaceStrategy)
    }
}

impl Strategy for NamespaceStrategy {
    fn default(&self, object: &mut Value) {
        let name = Value::from(text(object, "/metadata/name"));
        if let Some(labels) = object.get_mut("metadata").and_then(|metadata| object_at(metadata, "labels")) {
            set(labels, NAME_LABEL, name);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({"phase": "Active"}));
        let held = items(object, "/spec/finalizers").any(|finalizer| finalizer == FINALIZER);
        if held {
            return;
        }
        let mut finalizers: Vec<Value> = items(object, "/spec/finalizers").cloned().collect();
        finalizers.push(FINALIZER.into());
        if let Some(spec) = object_at(object, "spec") {
            set(spec, "finalizers", finalizers);
        }
    }

    /// The finalizers of the spec change at `finalize` only.
    fn prepare_update(&self, object: &mut Value, old: &Value, _cx: &WriteContext<'_>) {
        if let (Some(finalizers), Some(spec)) = (old.pointer("/spec/finalizers"), object_at(object, "spec")) {
            set(spec, "finalizers", finalizers.clone());
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for finalizer in Field::root(object).at("spec").at("finalizers").items() {
            faults.rule(&finalizer, names::qualified_name);
            if !finalizer.text().contains('/') && finalizer.text() != FINALIZER {
                faults.invalid(&finalizer, "name is neither a standard finalizer name nor is it fully qualified");
            }
        }
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let namespace = Field::root(object);
        let (phase, deleted) = (namespace.at("status").at("phase"), namespace.at("metadata").at("deletionTimestamp"));
        match (deleted.is_set(), phase.text()) {
            (false, "Terminating") => faults.invalid(&phase, "may only be 'Active' if `deletionTimestamp` is empty"),
            (true, "Active") => faults.invalid(&phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"),
            _ => {}
        }
        faults.errors.causes()
    }

    fn begin_deletion(&self, object: &mut Value) {
        if let Some(status) = object_at(object, "status") {
            set(status, "phase", "Terminating");
        }
    }

    fn holds_deletion(&self, object: &Value) -> bool {
        size(object, "/spec/finalizers") > 0
    }

    fn write_subresource(
        &self,
        name: &str,
        body: &Value,
        object: &mut Value,
        _cx: &WriteContext<'_>,
    ) -> Result<(), Status> {
        if name != "finalize" {
            return Err(Status::method_not_allowed());
        }
        let finalizers: Vec<Value> = items(body, "/spec/finalizers").cloned().collect();
        if let Some(spec) = object_at(object, "spec") {
            set(spec, "finalizers", finalizers);
        }
        Ok(())
    }

    fn name_faults(&self, name: &str) -> Vec<String> {
        names::dns_1123_label(name)
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Status", "Whether the namespace is in use or going away."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/status/phase").into(), table::age(object, now)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_labelled_with_its_name() {
        let mut namespace = json!({"metadata": {"name": "web"}});
        NamespaceStrategy.default(&mut namespace);
        assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "web"}));
    }

    #[test]
    fn a_namespace_is_held_until_it_is_empty() {
        let mut namespace = json!({"metadata": {"name": "web"}, "spec": {"finalizers": ["kubernetes"]}});
        assert!(NamespaceStrategy.holds_deletion(&namespace));
        NamespaceStrategy.begin_deletion(&mut namespace);
        assert_eq!(namespace["status"]["phase"], "Terminating");
        if let Some(spec) = object_at(&mut namespace, "spec") {
            set(spec, "finalizers", json!([]));
        }
        assert!(!NamespaceStrategy.holds_deletion(&namespace));
    }

    #[test]
    fn the_phase_follows_the_deletion() {
        let going = json!({"metadata": {"deletionTimestamp": "t"}, "status": {"phase": "Active"}});
        assert_eq!(NamespaceStrategy.validate_status(&going, &going)[0].field, "status.phase");
        let odd = json!({"spec": {"finalizers": ["mine"]}});
        assert_eq!(NamespaceStrategy.validate(&odd)[0].field, "spec.finalizers[0]");
    }
}
