//! What a CustomResourceDefinition is.

use jiff::Timestamp;
use sampan_core::resource::custom::CUSTOM_RESOURCE_DEFINITIONS;
use sampan_core::resource::fill::{fill, object_at, present, set};
use sampan_core::resource::read::{items, text};
use sampan_core::resource::{
    Cell, Column, FieldGetter, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext,
};
use sampan_core::status::StatusCause;
use serde_json::{Value, json};

use crate::validate;

/// Holds a definition until none of its objects is left.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// The field by which definitions of a group are found.
pub const GROUP: &str = "spec.group";
/// The field by which those of a group are found that wait for a name: the group, empty in all others.
pub const WITHOUT_NAMES_IN: &str = "status.withoutNamesIn";

/// The port of a webhook behind a Service that names none.
const HTTPS_PORT: i64 = 443;

const SELECTABLE: &[(&str, FieldGetter)] =
    &[(GROUP, |definition| text(definition, "/spec/group").to_owned()), (WITHOUT_NAMES_IN, without_names_in)];

struct CustomResourceDefinitionStrategy;

/// What a CustomResourceDefinition is.
pub fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored(
        "apiextensions.k8s.io",
        "v1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    );
    ResourceDefinition {
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        has_status: true,
        has_generation: true,
        selectable: SELECTABLE,
        ..ResourceDefinition::plain(
            CUSTOM_RESOURCE_DEFINITIONS,
            "CustomResourceDefinition",
            "customresourcedefinition",
            version,
            CustomResourceDefinitionStrategy,
        )
    }
}

fn is_refused(definition: &Value) -> bool {
    items(definition, "/status/conditions")
        .any(|it| text(it, "/type") == "NamesAccepted" && text(it, "/status") == "False")
}

fn without_names_in(definition: &Value) -> String {
    if is_refused(definition) { text(definition, "/spec/group").to_owned() } else { String::new() }
}

fn storage_version(object: &Value) -> Option<&str> {
    items(object, "/spec/versions").find(|it| it.get("storage") == Some(&Value::Bool(true))).map(|it| text(it, "/name"))
}

impl Strategy for CustomResourceDefinitionStrategy {
    fn default(&self, object: &mut Value) {
        let kind = text(object, "/spec/names/kind").to_owned();
        let Some(spec) = object.get_mut("spec") else { return };
        if let Some(conversion) = object_at(spec, "conversion") {
            fill(conversion, "strategy", "None");
            let client = present(conversion, "webhook").and_then(|webhook| present(webhook, "clientConfig"));
            if let Some(service) = client.and_then(|client| present(client, "service")) {
                fill(service, "port", HTTPS_PORT);
            }
        }
        if let Some(names) = spec.get_mut("names").filter(|_| !kind.is_empty()) {
            fill(names, "singular", kind.to_ascii_lowercase());
            fill(names, "listKind", format!("{kind}List"));
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        let stored: Vec<&str> = storage_version(object).into_iter().collect();
        let status = json!({"storedVersions": stored, "acceptedNames": {"plural": "", "kind": ""}, "conditions": []});
        set(object, "status", status);
    }

    /// A version that was ever stored is remembered: objects may still be stored in it.
    fn prepare_update(&self, object: &mut Value, _old: &Value, _cx: &WriteContext<'_>) {
        let Some(storage) = storage_version(object).map(Value::from) else { return };
        let stored = object.pointer_mut("/status/storedVersions").and_then(Value::as_array_mut);
        if let Some(stored) = stored.filter(|stored| !stored.contains(&storage)) {
            stored.push(storage);
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        validate::definition(object).errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        validate::update(object, old).errors.causes()
    }

    fn begin_deletion(&self, object: &mut Value) {
        if items(object, "/status/conditions").any(|it| text(it, "/type") == "Terminating") {
            return;
        }
        let deleted_at = text(object, "/metadata/deletionTimestamp").to_owned();
        let condition = json!({
            "type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "lastTransitionTime": deleted_at,
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        });
        push(object, "status", "conditions", condition);
        push(object, "metadata", "finalizers", CLEANUP.into());
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column {
            kind: "date".into(),
            ..Column::text(
                "Created At",
                "CreationTimestamp is a timestamp representing the server time when this object was created.",
            )
        }]
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/metadata/creationTimestamp").into()]
    }
}

fn push(object: &mut Value, part: &str, list: &str, item: Value) {
    let Some(part) = object_at(object, part) else { return };
    let mut items: Vec<Value> = items(part, &format!("/{list}")).cloned().collect();
    items.push(item);
    set(part, list, items);
}
