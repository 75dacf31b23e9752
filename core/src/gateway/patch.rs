//! A change of some fields, by one of four languages.

use serde_json::Value;

use super::authorize::creation;
use super::decode::plain;
use super::metadata::{name_mismatch, text};
use super::preparation::Preparation;
use super::scale::scale_schema;
use super::{Body, PatchKind, Prepared, Subresource, Unprepared};
use crate::object::patch::{self, ApplyError, JsonPatch, JsonPatchError};
use crate::schema::Schema;
use crate::status::{Status, StatusCause};

/// What clients are told who patch a custom object strategically; kubectl falls back to a merge.
const STRATEGIC_CUSTOM: &str = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// What says which type an object is of: it is checked whatever a patch names.
const TYPE_FIELDS: [&str; 2] = ["apiVersion", "kind"];

impl Preparation<'_> {
    pub(super) fn patch(mut self, kind: PatchKind, body: &Body) -> Result<Prepared, Unprepared> {
        let of_scale = self.mutation.target.subresource == Subresource::Scale;
        if kind == PatchKind::Apply && !of_scale {
            return self.apply(body);
        }
        let patch = plain(body)?;
        let existing = self.existing()?;
        if kind == PatchKind::Strategic && self.definition.defined_by.is_some() && !of_scale {
            return Err(Status::unsupported_media_type(STRATEGIC_CUSTOM).into());
        }
        if of_scale {
            let (_, scale) = self.scale(existing)?;
            let scale = self.patched(kind, &scale_schema()?, scale, patch)?;
            let scale = self.conform_scale(scale)?;
            return self.update_scale(existing, &scale);
        }
        let old = self.worked(existing)?;
        let untouched = self.untouched(kind, &old, &patch);
        let mut patched = self.patched(kind, &self.schema()?, self.to_spoken(old.clone()), patch)?;
        let aside = take_fields(&mut patched, &untouched);
        let mut object = self.conform(patched)?;
        if let Some(fields) = object.as_object_mut() {
            fields.extend(aside);
        }
        self.change(existing, old, object)
    }

    /// The fields that a patch leaves as they are stored, so that they need not be checked: those of a built-in type that is spoken
    /// as it is stored, which the patch does not name.
    fn untouched(&self, kind: PatchKind, old: &Value, patch: &Value) -> Vec<String> {
        let as_stored = self.mutation.target.served.version.from_stored.is_none();
        let names_fields = matches!(kind, PatchKind::Merge | PatchKind::Strategic);
        let (Value::Object(old), Value::Object(patch)) = (old, patch) else { return Vec::new() };
        if self.definition.defined_by.is_some() || !as_stored || !names_fields || patch.contains_key("$patch") {
            return Vec::new();
        }
        let rest = old.keys().filter(|name| !patch.contains_key(*name) && !TYPE_FIELDS.contains(&name.as_str()));
        rest.cloned().collect()
    }

    fn patched(&self, kind: PatchKind, schema: &Schema, mut object: Value, patch: Value) -> Result<Value, Status> {
        match kind {
            PatchKind::Merge | PatchKind::Apply => patch::merge(&mut object, patch),
            PatchKind::Strategic => patch::strategic_merge(schema, &mut object, patch)
                .map_err(|error| Status::bad_request(error.to_string()))?,
            PatchKind::Json => {
                let patched = JsonPatch::from_value(patch).and_then(|patch| patch.apply(&object));
                return patched.map_err(|error| self.refused_patch(&error));
            }
        }
        Ok(object)
    }

    fn refused_patch(&self, error: &JsonPatchError) -> Status {
        match error.code() {
            400 => Status::bad_request(error.to_string()),
            413 => Status::too_large(error.to_string()),
            _ => self.at_fault("patch", error.to_string()),
        }
    }

    fn at_fault(&self, field: &str, message: String) -> Status {
        let target = &self.mutation.target;
        let cause = StatusCause { reason: "FieldValueInvalid".to_owned(), message, field: field.to_owned() };
        Status::invalid(&target.kind_name(), target.name.as_deref().unwrap_or_default(), vec![cause])
    }

    /// Server-side apply: creates the object where it is missing.
    fn apply(mut self, body: &Body) -> Result<Prepared, Unprepared> {
        let mut config = self.decode_applied(body)?;
        self.place(&mut config)?;
        let name = self.mutation.target.name.as_deref().unwrap_or_default();
        let own = text(&config, "name");
        if !own.is_empty() && own != name {
            return Err(name_mismatch(own, name).into());
        }
        self.drop_other_fields(&mut config);
        let existing = self.snapshot.get(&self.mutation.target.key(name));
        let live = existing.map(|existing| self.worked(existing)).transpose()?;
        let merged = self.with_manager(|manager| {
            let force = self.mutation.options.force;
            patch::apply(&self.worked_schema()?, live.as_ref(), config, manager, force)
                .map_err(|error| self.refused_apply(error))
        })?;
        match (existing, live) {
            (Some(existing), Some(live)) => self.change(existing, live, merged),
            _ if self.mutation.target.subresource != Subresource::Whole => {
                Err(Status::not_found(&self.mutation.target.resource_name(), name).into())
            }
            _ => {
                self.gateway.authorize(self.snapshot, &creation(self.mutation))?;
                self.create_decoded(merged)
            }
        }
    }

    /// Only the status is applied at the status, and all but the status at the object.
    fn drop_other_fields(&self, config: &mut Value) {
        let Some(fields) = config.as_object_mut() else { return };
        if self.mutation.target.subresource == Subresource::Status {
            fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|name, _| {
                    !matches!(name.as_str(), "labels" | "annotations" | "finalizers" | "ownerReferences")
                });
            }
        }
    }

    fn refused_apply(&self, error: ApplyError) -> Status {
        match error {
            ApplyError::Conflicts(conflicts) => Status::apply_conflict(conflicts.to_string(), conflicts.causes()),
            ApplyError::ManagedFields => Status::bad_request(error.to_string()),
            ApplyError::DuplicateItem { path, key } => {
                self.at_fault(&path.to_string(), format!("Duplicate value: {key}"))
            }
            ApplyError::MissingKey { path, key } => self.at_fault(&path.to_string(), format!("Required value: {key}")),
        }
    }
}

/// Takes fields out of an object.
fn take_fields(object: &mut Value, names: &[String]) -> Vec<(String, Value)> {
    let Some(fields) = object.as_object_mut() else { return Vec::new() };
    names.iter().filter_map(|name| fields.remove_entry(name)).collect()
}
