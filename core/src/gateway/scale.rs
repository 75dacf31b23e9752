//! The `scale` subresource: an object's replicas as `autoscaling/v1 Scale`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::metadata::{metadata_mut, name_mismatch, text};
use super::preparation::Preparation;
use super::{Prepared, Unprepared};
use crate::object::Object;
use crate::resource::{ResourceDefinition, ScalePaths};
use crate::schema::Schema;
use crate::status::{Status, StatusCause};

/// The version and kind of what is spoken at `scale`.
pub(super) const SCALE_VERSION: &str = "autoscaling/v1";
pub(super) const SCALE_KIND: &str = "Scale";

/// The schema of a `Scale`.
pub(super) fn scale_schema() -> Result<Schema, Status> {
    const NAME: &str = "io.k8s.api.autoscaling.v1.Scale";
    Schema::named(NAME).ok_or_else(|| Status::internal(format!("no schema {NAME}")))
}

/// The `Scale` of an object; `None` where its resource type has none.
pub fn scale_of(definition: &ResourceDefinition, object: &Value) -> Option<Value> {
    definition.scale.as_ref().map(|paths| scale_value(paths, object))
}

fn scale_value(paths: &ScalePaths, object: &Value) -> Value {
    const KEPT: [&str; 5] = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    let metadata: serde_json::Map<String, Value> = KEPT
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), object.get("metadata")?.get(*field)?.clone())))
        .collect();
    let replicas = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    json!({
        "kind": SCALE_KIND, "apiVersion": SCALE_VERSION, "metadata": metadata,
        "spec": {"replicas": replicas(paths.spec_replicas)},
        "status": {
            "replicas": replicas(paths.status_replicas),
            "selector": selector_text(object.pointer(paths.selector).filter(|_| !paths.selector.is_empty())),
        },
    })
}

/// A label selector in the one-line form clients parse.
fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return String::new() };
    if let Value::String(text) = selector {
        return text.clone();
    }
    crate::object::selector::Selector::from_value(selector).map(|selector| selector.to_string()).unwrap_or_default()
}

/// Sets what is at a JSON pointer, in an object that is there.
fn set_at(object: &mut Value, pointer: &str, value: Value) {
    let Some((parent, field)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(fields)) = object.pointer_mut(parent) {
        fields.insert(field.replace("~1", "/").replace("~0", "~"), value);
    }
}

impl Preparation<'_> {
    /// The object's `Scale` as it stands.
    pub(super) fn scale(&self, existing: &Object) -> Result<(&ScalePaths, Value), Unprepared> {
        let paths = self.definition.scale.as_ref().ok_or_else(Status::no_such_path)?;
        Ok((paths, scale_value(paths, &self.worked(existing)?)))
    }

    pub(super) fn update_scale(self, existing: &Arc<Object>, scale: &Value) -> Result<Prepared, Unprepared> {
        let (paths, _) = self.scale(existing)?;
        let own = text(scale, "name");
        if !own.is_empty() && own != &*existing.key().name {
            return Err(name_mismatch(own, &existing.key().name).into());
        }
        let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
        if replicas < 0 {
            let fault = StatusCause {
                reason: "FieldValueInvalid".to_owned(),
                message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
                field: "spec.replicas".to_owned(),
            };
            return Err(Status::invalid("Scale.autoscaling", &existing.key().name, vec![fault]).into());
        }
        let old = self.worked(existing)?;
        let mut object = old.clone();
        set_at(&mut object, paths.spec_replicas, Value::from(replicas));
        // What the Scale says of whose it is are the object's preconditions.
        for field in ["resourceVersion", "uid"] {
            metadata_mut(&mut object)?.insert(field.to_owned(), Value::from(text(scale, field)));
        }
        self.change(existing, old, object)
    }
}
