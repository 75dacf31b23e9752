//! A new object, and writes to a resource type's own subresources.

use serde_json::Value;

use super::metadata::{name_mismatch, text};
use super::preparation::Preparation;
use super::{Body, Prepared, Subresource, Unprepared};
use crate::resource::validate_metadata;
use crate::status::Status;
use crate::store::{CommitCondition, Precondition};

impl Preparation<'_> {
    pub(super) fn create(mut self, body: &Body) -> Result<Prepared, Unprepared> {
        if let Subresource::Named(name) = self.mutation.target.subresource {
            return self.write_named(name, body);
        }
        let object = self.decode(body)?;
        self.create_decoded(object)
    }

    /// Creates an object that is decoded and in the stored version.
    pub(super) fn create_decoded(mut self, mut object: Value) -> Result<Prepared, Unprepared> {
        if !text(&object, "resourceVersion").is_empty() {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created").into());
        }
        self.require_definition()?;
        let key = self.name_new(&mut object)?;
        self.stamp_new(&mut object)?;
        let strategy = self.definition.strategy.clone();
        self.mutate(&mut object, None)?;
        strategy.default(&mut object);
        strategy.prepare_create(&mut object, &self.context());
        let mut faults = validate_metadata(self.definition, &object, None);
        faults.extend(strategy.validate(&object));
        faults.extend(strategy.validate_create(&object, &self.context()));
        if faults.is_empty() {
            faults = strategy.validate_claims(&object, None, &self.context());
        }
        self.refuse_faults(&key.name, faults)?;
        self.judge(&object, None)?;
        self.conditions.extend(strategy.commit_conditions(&object));
        if self.snapshot.get(&key).is_some() {
            return Err(Status::already_exists(&self.mutation.target.resource_name(), &key.name).into());
        }
        self.warnings.extend(strategy.warnings(&object));
        self.track_fields(&mut object, None)?;
        let object = self.to_storage(object)?;
        Ok(self.put(key, object, Precondition::Absent)?)
    }

    /// Nothing is created of a type whose definition goes, also when that happens before the commit.
    fn require_definition(&mut self) -> Result<(), Status> {
        let Some(definition) = &self.definition.defined_by else { return Ok(()) };
        if self.snapshot.get(definition).is_none_or(|definition| definition.metadata().is_terminating()) {
            return Err(definition_terminating());
        }
        self.conditions.push(CommitCondition::Active(definition.clone()));
        Ok(())
    }

    /// A create at `…/<name>/<subresource>`, such as a pod's binding: a change of the parent.
    fn write_named(mut self, name: &'static str, body: &Body) -> Result<Prepared, Unprepared> {
        let existing = self.existing()?;
        let body = self.decode_spoken(body)?;
        let own = text(&body, "name");
        if !own.is_empty() && own != &*existing.key().name {
            return Err(name_mismatch(own, &existing.key().name).into());
        }
        self.check_basis(existing, &body)?;
        let old = existing.value();
        self.consult_mutating_unchangeable(&old, &old)?;
        let mut object = old.clone();
        let strategy = self.definition.strategy.clone();
        strategy.write_subresource(name, &body, &mut object, &self.context())?;
        self.replace(existing, old, object)
    }
}

/// The refusal of a create of what is defined by something that is going away.
pub(super) fn definition_terminating() -> Status {
    Status {
        message: "create not allowed while custom resource definition is terminating".to_owned(),
        ..Status::method_not_allowed()
    }
}
