//! A change of an object that exists.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::metadata::{has_finalizers, keep_all_but, metadata_mut, name_mismatch, text};
use super::preparation::Preparation;
use super::{Action, Body, PatchKind, Prepared, Subresource, Unprepared};
use crate::object::Object;
use crate::resource::read::{at, items, size};
use crate::resource::{SubresourceHandler, validate_metadata};
use crate::status::Status;
use crate::store::Precondition;

/// Who set which field.
const MANAGERS: &str = "/metadata/managedFields";
/// What clients read when somebody else was faster.
const MODIFIED: &str = "the object has been modified; please apply your changes to the latest version and try again";

impl Preparation<'_> {
    pub(super) fn update(mut self, body: &Body) -> Result<Prepared, Unprepared> {
        let existing = self.existing()?;
        if self.mutation.target.subresource == Subresource::Scale {
            let scale = self.decode_scale(body)?;
            return self.update_scale(existing, &scale);
        }
        let mut object = self.decode(body)?;
        self.place(&mut object)?;
        let own = text(&object, "name");
        if own != &*existing.key().name {
            return Err(name_mismatch(own, &existing.key().name).into());
        }
        let old = self.worked(existing)?;
        self.change(existing, old, object)
    }

    /// Makes `object` of `old`, if it is based on what is there.
    pub(super) fn change(
        mut self,
        existing: &Arc<Object>,
        old: Value,
        mut object: Value,
    ) -> Result<Prepared, Unprepared> {
        self.check_basis(existing, &object)?;
        self.mutate(&mut object, Some(&old))?;
        let object = self.merge_by_subresource(object, &old)?;
        self.replace(existing, old, object)
    }

    /// A resource version or uid in the request is a precondition.
    pub(super) fn check_basis(&self, existing: &Arc<Object>, object: &Value) -> Result<(), Status> {
        let conflict =
            |why: &str| Err(Status::conflict(&self.mutation.target.resource_name(), &existing.key().name, why));
        let version = text(object, "resourceVersion");
        if !version.is_empty() && version != existing.revision().to_string() {
            return conflict(MODIFIED);
        }
        let (uid, found) = (text(object, "uid"), existing.metadata().uid.as_str());
        if !uid.is_empty() && uid != found {
            return conflict(&format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"));
        }
        Ok(())
    }

    /// The status is written at its own subresource alone, all else at the object alone, but for notes on an object of a built-in
    /// type, which stand at both; a subresource of the type's own writes what it is for and nothing else.
    fn merge_by_subresource(&self, mut object: Value, old: &Value) -> Result<Value, Status> {
        if self.mutation.target.subresource == Subresource::Status {
            self.keep_all_but_status(&mut object, old)?;
            return Ok(object);
        }
        if let Subresource::Named(name) = self.mutation.target.subresource {
            let mut merged = old.clone();
            let managed = metadata_mut(&mut object)?.remove("managedFields");
            self.definition.strategy.write_subresource(name, &object, &mut merged, &self.context())?;
            if let Some(managed) = managed {
                metadata_mut(&mut merged)?.insert("managedFields".to_owned(), managed);
            }
            return Ok(merged);
        }
        if self.definition.has_status && object.get("status") != old.get("status") {
            set(&mut object, "status", old.get("status").cloned());
        }
        Ok(object)
    }

    /// Takes the status of `object` alone, with what else may be said at the status.
    fn keep_all_but_status(&self, object: &mut Value, old: &Value) -> Result<(), Status> {
        let is_applied = matches!(self.mutation.action, Action::Patch(PatchKind::Apply, _));
        let has_notes = self.definition.defined_by.is_none() && !is_applied;
        let metadata = metadata_mut(object)?;
        // Who says nothing of the managers keeps them.
        let own = [("managedFields", metadata.contains_key("managedFields")), ("annotations", has_notes)];
        let own: Vec<&str> = own.into_iter().filter_map(|(field, is_own)| is_own.then_some(field)).collect();
        if let Some(old) = old.get("metadata").and_then(Value::as_object) {
            keep_all_but(metadata, old, &own);
        }
        if let (Some(fields), Some(old)) = (object.as_object_mut(), old.as_object()) {
            keep_all_but(fields, old, &["metadata", "status"]);
        }
        Ok(())
    }

    /// Makes `object` of `old`: keeps, defaults, prepares, validates, has it judged.
    pub(super) fn replace(
        mut self,
        existing: &Arc<Object>,
        old: Value,
        mut object: Value,
    ) -> Result<Prepared, Unprepared> {
        let name = &existing.key().name;
        self.keep_metadata(&mut object, &old)?;
        let strategy = self.definition.strategy.clone();
        strategy.default(&mut object);
        // A subresource of the type's own has just changed what the object's own endpoint keeps.
        if !matches!(self.mutation.target.subresource, Subresource::Named(_)) {
            strategy.prepare_update(&mut object, &old, &self.context());
        }
        self.raise_generation(&mut object, &old)?;
        let mut faults = validate_metadata(self.definition, &object, Some(&old));
        if self.mutation.target.subresource == Subresource::Status {
            faults.extend(strategy.validate_status(&object, &old));
        } else if !self.is_command() {
            faults.extend(strategy.validate(&object));
            // A subresource of its own changes what no client may: a binding names the node.
            if !matches!(self.mutation.target.subresource, Subresource::Named(_)) {
                faults.extend(strategy.validate_update(&object, &old));
            }
            if faults.is_empty() {
                faults = strategy.validate_claims(&object, Some(&old), &self.context());
            }
            self.warnings.extend(strategy.warnings(&object));
        }
        self.refuse_faults(name, faults)?;
        self.judge(&object, Some(&old))?;
        self.conditions.extend(strategy.commit_conditions(&object));
        self.track_fields(&mut object, Some(&old))?;
        self.warn_of_drift(existing, &old, &object);
        if self.is_let_go(&object) {
            return Ok(self.remove(existing));
        }
        // What a webhook converts is brought to the version that is stored by any write.
        if is_same(&object, &old) && self.is_stored_as_asked(existing) {
            return Ok(self.unchanged(existing));
        }
        let object = self.to_storage(object)?;
        Ok(self.put(existing.key().clone(), object, Precondition::Unchanged(existing.revision()))?)
    }

    /// The generation rises when anything but metadata and status changes. What is carried out, such as a binding, is nobody's
    /// new wish.
    fn raise_generation(&self, object: &mut Value, old: &Value) -> Result<(), Status> {
        if !self.definition.has_generation || self.is_command() || same_spec(object, old, self.definition.has_status) {
            return Ok(());
        }
        let generation = at(old, "/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        metadata_mut(object)?.insert("generation".to_owned(), Value::from(generation + 1));
        Ok(())
    }

    /// Whether something is carried out, such as a binding: who does so has checked what it changes.
    fn is_command(&self) -> bool {
        self.mutation.target.named().is_some_and(|named| named.handler == SubresourceHandler::Command)
    }

    /// Whether nothing keeps an object any more whose deletion was asked for.
    pub(super) fn is_let_go(&self, object: &Value) -> bool {
        let grace = at(object, "/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
        !text(object, "deletionTimestamp").is_empty()
            && grace == 0
            && !has_finalizers(object)
            && !self.definition.strategy.holds_deletion(object)
    }
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(fields) = object.as_object_mut() {
        match value {
            Some(value) => fields.insert(field.to_owned(), value),
            None => fields.remove(field),
        };
    }
}

/// Whether nothing but metadata, and a status written apart, differs.
fn same_spec(object: &Value, old: &Value, has_status: bool) -> bool {
    let beside: &[&str] = match has_status {
        true => &["metadata", "apiVersion", "kind", "status"],
        false => &["metadata", "apiVersion", "kind"],
    };
    same_fields(Some(object), Some(old), beside)
}

/// Whether two writes leave the same: everything but the resource version, which every write has anew, and when somebody
/// last set what is set to that already.
fn is_same(object: &Value, old: &Value) -> bool {
    let same_manager = |(new, known)| same_fields(Some(new), Some(known), &["time"]);
    same_fields(Some(object), Some(old), &["metadata"])
        && same_fields(object.get("metadata"), old.get("metadata"), &["resourceVersion", "managedFields"])
        && size(object, MANAGERS) == size(old, MANAGERS)
        && items(object, MANAGERS).zip(items(old, MANAGERS)).all(same_manager)
}

/// Whether two objects have the same fields beside some.
fn same_fields(object: Option<&Value>, other: Option<&Value>, beside: &[&str]) -> bool {
    let (Some(Value::Object(object)), Some(Value::Object(other))) = (object, other) else { return object == other };
    let count =
        |fields: &Map<String, Value>| fields.len() - beside.iter().filter(|it| fields.contains_key(**it)).count();
    let compared = || object.iter().filter(|(name, _)| !beside.contains(&name.as_str()));
    count(object) == count(other) && compared().all(|(name, field)| other.get(name) == Some(field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_compared_beside_the_fields_named() {
        let object = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"a": 1}, "status": {}});
        let with = |pointer: &str, value: Value| {
            let mut other = object.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            other
        };
        let mut without_status = object.clone();
        set(&mut without_status, "status", None);
        let managed = |fields: Value, time: &str| {
            let mut other = object.clone();
            other["metadata"]["managedFields"] = json!([{"manager": "m", "fieldsV1": fields, "time": time}]);
            other
        };
        let (first, later) = (managed(json!({"f:a": {}}), "1"), managed(json!({"f:a": {}}), "2"));
        assert!(is_same(&later, &first) && !is_same(&managed(json!({}), "1"), &first) && !is_same(&first, &object));
        let mut with_data = object.clone();
        set(&mut with_data, "data", Some(json!({})));
        let cases = [
            (with("/metadata/resourceVersion", json!("2")), true, true),
            (with("/metadata/name", json!("b")), true, false),
            (with("/spec/a", json!(2)), false, false),
            (with("/status", json!({"b": 1})), true, false),
            (without_status, true, false),
            (with_data, false, false),
        ];
        for (other, spec, all) in cases {
            assert_eq!((same_spec(&object, &other, true), is_same(&object, &other)), (spec, all), "{other}");
            assert_eq!((same_spec(&other, &object, true), is_same(&other, &object)), (spec, all), "{other}");
        }
    }

    #[test]
    fn a_status_that_is_not_written_apart_belongs_to_the_spec() {
        let (old, new) = (json!({"status": {"a": 1}}), json!({"status": {"a": 2}}));
        assert!(same_spec(&new, &old, true) && !same_spec(&new, &old, false));
    }
}
