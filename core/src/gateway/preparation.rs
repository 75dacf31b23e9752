//! One mutation on its way through the pipeline: what the steps share.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::admission::AdmissionRequest;
use super::asking::Answers;
use super::metadata::{keep_fields, metadata_mut};
use super::{Answer, Gateway, Mutation, Prepared, Subresource, Unprepared, refusal_status};
use crate::entropy::Entropy;
use crate::object::{Draft, Object, ObjectKey};
use crate::resource::{ResourceDefinition, ServedVersion, WriteContext};
use crate::schema;
use crate::status::{Status, StatusCause};
use crate::store::{Change, CommitCondition, Origin, Precondition, Put, Snapshot, Write};

/// What only the server gives, and nobody may take.
const IDENTITY: [&str; 4] = ["name", "namespace", "uid", "creationTimestamp"];

/// A mutation being prepared against one snapshot.
pub(super) struct Preparation<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: Timestamp,
    pub(super) entropy: &'a mut dyn Entropy,
    pub(super) answers: &'a Answers,
    pub(super) mutation: &'a Mutation,
    pub(super) definition: &'a ResourceDefinition,
    pub(super) conditions: Vec<CommitCondition>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Preparation<'a> {
    pub(super) fn new(
        gateway: &'a Gateway,
        snapshot: &'a Snapshot,
        now: Timestamp,
        entropy: &'a mut dyn Entropy,
        answers: &'a Answers,
        mutation: &'a Mutation,
    ) -> Self {
        let definition = &mutation.target.served.definition;
        let (conditions, warnings) = (Vec::new(), Vec::new());
        Self { gateway, snapshot, now, entropy, answers, mutation, definition, conditions, warnings }
    }

    pub(super) fn context(&self) -> WriteContext<'a> {
        WriteContext { now: self.now, snapshot: self.snapshot }
    }

    /// The object the path names.
    pub(super) fn existing(&self) -> Result<&'a Arc<Object>, Status> {
        let target = &self.mutation.target;
        let name = target.name.as_deref().unwrap_or_default();
        self.snapshot.get(&target.key(name)).ok_or_else(|| Status::not_found(&target.resource_name(), name))
    }

    /// Lets admission change the object: first the rules, then policies, then webhooks. Where one of those does, the rules see the
    /// change, and so do those before it that want to.
    pub(super) fn mutate(&mut self, object: &mut Value, old: Option<&Value>) -> Result<(), Unprepared> {
        self.mutate_by_rules(object, old)?;
        let policies = self.consult_policies(object, old)?;
        let webhooks = self.consult_mutating(object, old)?;
        if !policies.has_changed() && !webhooks.has_changed() {
            return Ok(());
        }
        self.mutate_by_rules(object, old)?;
        self.consult_policies_again(policies, object, old)?;
        self.consult_mutating_again(webhooks, object, old)
    }

    /// What somebody made of the object in a version: as it would be stored, with what only the server gives.
    pub(super) fn taken_over(&self, object: &Value, version: &ServedVersion, made: Value) -> Result<Value, Unprepared> {
        let failed = |why: String| Status::internal(format!("Internal error occurred: {why}"));
        let read_by = version.schema.reading_schema().ok_or_else(|| failed("no schema".to_owned()))?;
        let mut changed = schema::conform(&read_by, made).map_err(|error| failed(error.to_string()))?.value;
        self.definition.strategy.prune(&mut changed);
        let changed = self.stored_from(version, changed)?;
        let mut changed = self.converted(changed, &self.mutation.target.served.version)?;
        let identity = object.get("metadata").and_then(Value::as_object);
        keep_fields(metadata_mut(&mut changed)?, identity, &IDENTITY);
        self.definition.strategy.default(&mut changed);
        Ok(changed)
    }

    /// Lets the rules of admission that are concerned change the object, once it is defaulted.
    pub(super) fn mutate_by_rules(&self, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        let request = self.request(old);
        let mut concerned = self.gateway.admissions.iter().filter(|rule| rule.concerns(&request)).peekable();
        if concerned.peek().is_some() {
            self.definition.strategy.default(object);
        }
        concerned.try_for_each(|rule| rule.mutate(&request, object))
    }

    /// Asks admission about what will be stored, webhooks last; what must still hold at the commit is kept.
    pub(super) fn judge(&mut self, object: &Value, old: Option<&Value>) -> Result<(), Unprepared> {
        let request = self.request(old);
        let mut verdicts = Vec::new();
        for rule in self.gateway.admissions.iter().filter(|rule| rule.concerns(&request)) {
            verdicts.push(rule.validate(&request, object)?);
        }
        for verdict in verdicts {
            self.conditions.extend(verdict.conditions);
            self.warnings.extend(verdict.warnings);
        }
        self.consult_validating(object, old)
    }

    pub(super) fn request<'r>(&'r self, old: Option<&'r Value>) -> AdmissionRequest<'r> {
        let (mutation, snapshot, answers) = (self.mutation, self.snapshot, self.answers);
        let operation = mutation.action.operation(old.is_none());
        AdmissionRequest { gateway: self.gateway, mutation, operation, snapshot, now: self.now, answers, old }
    }

    /// Nothing is written; whoever is concerned may say no.
    pub(super) fn connect(mut self) -> Result<Prepared, Unprepared> {
        let existing = self.existing()?;
        let object = existing.value();
        self.consult_mutating_unchangeable(&object, &object)?;
        self.judge(&object, Some(&object))?;
        Ok(self.unchanged(existing))
    }

    /// `Invalid` where there are faults.
    pub(super) fn refuse_faults(&self, name: &str, faults: Vec<StatusCause>) -> Result<(), Status> {
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Status::invalid(&self.mutation.target.kind_name(), name, faults)),
        }
    }

    /// Commits `object` under `key`, or shows it where nothing is to be committed.
    pub(super) fn put(mut self, key: ObjectKey, object: Value, precondition: Precondition) -> Result<Prepared, Status> {
        let creates = precondition == Precondition::Absent;
        let preview = self.mutation.options.dry_run.then(|| Box::new(object.clone()));
        let fields = self.index_values(&object);
        let draft = Draft::new(key.clone(), object, fields).map_err(|error| Status::internal(error.to_string()))?;
        let put = Put::Object(Box::new(draft));
        let change = Change { key: key.clone(), precondition, put, conditions: std::mem::take(&mut self.conditions) };
        let Some(preview) = preview else { return Ok(self.prepared(vec![change], Answer::Committed, creates)) };
        let snapshot = self.snapshot;
        let mut prepared = self.prepared(vec![change], Answer::Preview(preview), creates);
        snapshot.check(&prepared.write).map_err(|refusal| refusal_status(&refusal, &key))?;
        prepared.write.changes.clear();
        Ok(prepared)
    }

    /// Removes the object, or shows it where nothing is to be committed.
    pub(super) fn remove(self, object: &Arc<Object>) -> Prepared {
        if self.mutation.options.dry_run {
            return self.unchanged(object);
        }
        let change = Change {
            key: object.key().clone(),
            precondition: Precondition::Unchanged(object.revision()),
            put: Put::Nothing,
            conditions: Vec::new(),
        };
        self.prepared(vec![change], Answer::Committed, false)
    }

    /// Nothing is to be committed, but something is said.
    pub(super) fn answered(self, answer: Answer) -> Prepared {
        self.prepared(Vec::new(), answer, true)
    }

    /// Nothing is to be done.
    pub(super) fn unchanged(self, object: &Arc<Object>) -> Prepared {
        self.prepared(Vec::new(), Answer::Unchanged(object.clone()), false)
    }

    fn prepared(self, changes: Vec<Change>, answer: Answer, creates: bool) -> Prepared {
        let write = Write { origin: self.origin(), changes, guard: None, decision: None };
        Prepared { write, answer, creates, warnings: self.warnings }
    }

    /// Where the change comes from. Who tells how an object stands wishes for nothing.
    fn origin(&self) -> Origin {
        match (&self.mutation.origin, &self.mutation.target.subresource) {
            (Origin::Request { user, client, .. }, Subresource::Status) => {
                Origin::Report { user: user.clone(), client: client.clone() }
            }
            (origin, _) => origin.clone(),
        }
    }
}
