//! From a step's commands to one write: each command goes through the gateway, all are committed together or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::CommandRecord;
use serde_json::{Value, json};

use super::effect;
use super::flight::refused;
use super::recorder::{EVENTS, Recorder, Recording, Said};
use super::{Command, Declaration, Guarding, Refused, WriteVerb, Yield};
use crate::access::MASTERS;
use crate::entropy::Entropy;
use crate::gateway::{
    Action, Answers, Body, Call, FieldValidation, Gateway, Identity, Mutation, Options, PatchKind, Subresource, Target,
    Unprepared,
};
use crate::object::{Name, ObjectKey, ResourceType};
use crate::resource::{EFFECTS, Served, SubresourceHandler};
use crate::status::Status;
use crate::store::{Guard, Origin, ReadKey, Snapshot, Write};

/// What is looked at while commands are prepared.
pub(super) struct Workbench<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: Timestamp,
    pub(super) declaration: &'a Declaration,
    pub(super) primary: &'a ObjectKey,
    /// What webhooks have answered.
    pub(super) answers: &'a Answers,
    /// The most changes; what is beyond is left over.
    pub(super) changes_max: usize,
}

/// A step's commands, ready to be committed.
pub(super) struct Assembly {
    pub(super) write: Write,
    /// One record for each change, in their order.
    pub(super) records: Vec<CommandRecord>,
    /// The place of the command that each change comes from; Events come from none.
    pub(super) sources: Vec<usize>,
    /// What the Events cost, once they are committed.
    pub(super) said: Said,
    /// Commands were left for the next step: more than fit, or a second one on an object.
    pub(super) left_over: bool,
}

/// Why a step's commands cannot be committed.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AssemblyError {
    #[error("failed to {}: {}", .0.verb.name(), .0.status)]
    Refused(Arc<Refused>),
    #[error("failed to prepare a command: {0}")]
    Transient(Status),
    #[error("the operator issued `{} {resource}`, which it does not declare to write", .verb.name())]
    Undeclared { verb: WriteVerb, resource: ResourceType },
    #[error("the operator commanded {0}, which is not served")]
    Unserved(ResourceType),
    #[error("{} webhooks are to be asked", .0.len())]
    Asks(Vec<Call>),
}

/// Prepares a step's commands.
pub(super) fn assemble(
    bench: &Workbench<'_>,
    out: &Yield,
    recorder: &Recorder,
    entropy: &mut dyn Entropy,
) -> Result<Assembly, AssemblyError> {
    check_declared(bench.declaration, &out.commands)?;
    let mut sheet = Sheet::new(bench, entropy);
    for (index, command) in out.commands.iter().enumerate() {
        if matches!(command, Command::Event { .. }) {
            continue;
        }
        if yields_to_status(command, &out.commands) {
            sheet.assembly.left_over = true;
        } else {
            sheet.add(command, index).map_err(|error| failed(error, &out.commands, index))?;
        }
    }
    sheet.add_events(recorder, &out.commands);
    if !sheet.questions.is_empty() {
        return Err(AssemblyError::Asks(sheet.questions));
    }
    let mut assembly = sheet.assembly;
    assembly.write.guard = guard(bench, out);
    Ok(assembly)
}

fn check_declared(declaration: &Declaration, commands: &[Command]) -> Result<(), AssemblyError> {
    let undeclared =
        commands.iter().filter_map(Command::permission).find(|(verb, resource)| !declaration.may(*verb, *resource));
    match undeclared {
        Some((verb, resource)) => Err(AssemblyError::Undeclared { verb, resource }),
        None => Ok(()),
    }
}

/// A change of an object waits for the step after the one that writes the object's status: what a status says of its step
/// no later one could tell, while a change follows from any snapshot.
fn yields_to_status(command: &Command, commands: &[Command]) -> bool {
    let (Command::Update { key, .. } | Command::Apply { key, .. }) = command else { return false };
    commands.iter().any(|other| matches!(other, Command::UpdateStatus { key: told, .. } if told == key))
}

/// What the commit rests on. The status is derived, unless the step says otherwise, and its own precondition on the object is
/// enough: the next wake-up corrects it. Everything else rests on what was read.
fn guard(bench: &Workbench<'_>, out: &Yield) -> Option<Guard> {
    let derived = |command: &Command| matches!(command, Command::UpdateStatus { .. } | Command::Event { .. });
    if !out.guards_status && out.commands.iter().all(derived) {
        return None;
    }
    let reads: Vec<ReadKey> = match bench.declaration.guarding {
        Guarding::EverythingRead => out.reads.iter().cloned().collect(),
        Guarding::Membership { .. } => out.reads.iter().cloned().map(ReadKey::by_membership).collect(),
        Guarding::Decisive { .. } => out.decisive.iter().cloned().collect(),
    };
    Some(Guard { at: bench.snapshot.revision(), reads })
}

fn failed(error: SheetError, commands: &[Command], index: usize) -> AssemblyError {
    let status = match error {
        SheetError::Unserved(resource) => return AssemblyError::Unserved(resource),
        SheetError::Status(status) => *status,
    };
    if status.code >= 500 || status.code == 429 {
        return AssemblyError::Transient(status);
    }
    let permissions: Vec<_> = commands.iter().map(Command::permission).collect();
    match refused(&permissions, index, status.clone()) {
        Some(refused) => AssemblyError::Refused(Arc::new(refused)),
        None => AssemblyError::Transient(status),
    }
}

enum SheetError {
    Unserved(ResourceType),
    Status(Box<Status>),
}

/// The write being put together.
struct Sheet<'a> {
    bench: &'a Workbench<'a>,
    entropy: &'a mut dyn Entropy,
    identity: Identity,
    manager: String,
    origin: Origin,
    touched: BTreeSet<ObjectKey>,
    /// What webhooks are to be asked first.
    questions: Vec<Call>,
    assembly: Assembly,
}

impl<'a> Sheet<'a> {
    fn new(bench: &'a Workbench<'a>, entropy: &'a mut dyn Entropy) -> Self {
        let origin = Origin::Decision {
            operator: bench.declaration.name.to_owned(),
            object: bench.primary.to_string(),
            snapshot: bench.snapshot.revision().0,
        };
        let manager = bench.declaration.manager();
        let write = Write { origin: origin.clone(), changes: Vec::new(), guard: None, decision: None };
        let assembly =
            Assembly { write, records: Vec::new(), sources: Vec::new(), said: Said::default(), left_over: false };
        let identity = service_account(&manager);
        let (touched, questions) = (BTreeSet::new(), Vec::new());
        Self { bench, entropy, identity, manager, origin, touched, questions, assembly }
    }

    /// Prepares a command and adds its change. One that would change nothing leaves no trace.
    fn add(&mut self, command: &Command, index: usize) -> Result<(), SheetError> {
        if self.is_full() || command.key().is_some_and(|key| self.touched(&key)) {
            self.assembly.left_over = true;
            return Ok(());
        }
        let (verb, resource) = command.permission().expect("an Event is recorded, not added");
        let (target, action) = self.request(command, resource)?;
        match command {
            Command::Effect { name, key, .. } => self.prepare(target, action, "effect", format!("{name} {key}"))?,
            _ => self.prepare(target, action, verb.name(), String::new())?,
        }
        self.assembly.sources.resize(self.assembly.write.changes.len(), index);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.assembly.write.changes.len() >= self.bench.changes_max
    }

    fn touched(&self, key: &ObjectKey) -> bool {
        self.touched.contains(key)
    }

    fn request(&self, command: &Command, resource: ResourceType) -> Result<(Target, Action), SheetError> {
        let whole = Subresource::Whole;
        Ok(match command {
            Command::Create { object, .. } => {
                let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).map(Into::into);
                let target = Target { served: self.served(resource)?, namespace, name: None, subresource: whole };
                (target, Action::Create(Body::Value(object.clone())))
            }
            Command::Update { key, object } => (self.target(key, whole)?, Action::Update(Body::Value(object.clone()))),
            Command::Apply { key, object, .. } => {
                (self.target(key, whole)?, Action::Patch(PatchKind::Apply, Body::Value(object.clone())))
            }
            Command::UpdateStatus { key, object } => {
                (self.target(key, Subresource::Status)?, Action::Update(Body::Value(object.clone())))
            }
            Command::Delete { key, options } => (self.target(key, whole)?, Action::Delete(options.clone())),
            Command::Subresource { key, name, body } => {
                let target = self.target(key, Subresource::Named(name))?;
                let body = Body::Value(body.clone());
                let is_command = target.named().is_none_or(|named| named.handler == SubresourceHandler::Command);
                (target, if is_command { Action::Create(body) } else { Action::Update(body) })
            }
            Command::Effect { name, key, input } => {
                let record = self.effect_record(name, key, input)?;
                let namespace = record.pointer("/metadata/namespace").and_then(Value::as_str).map(Into::into);
                let target = Target { served: self.served(resource)?, namespace, name: None, subresource: whole };
                (target, Action::Create(Body::Value(record)))
            }
            Command::Event { .. } => unreachable!("an Event is recorded, not added"),
        })
    }

    /// The outbox record of an effect. The primary owns it; the record's own finalizer keeps it until it is done.
    fn effect_record(&self, name: &str, key: &str, input: &Value) -> Result<Value, SheetError> {
        let primary = self.bench.snapshot.get(self.bench.primary).ok_or(SheetError::Unserved(EFFECTS))?;
        let Served { definition, version } = self.served(primary.key().resource)?;
        let metadata = primary.metadata();
        let owner = json!({"apiVersion": version.api_version(), "kind": definition.kind, "name": &*primary.key().name,
            "uid": metadata.uid.as_str()});
        let operator = self.bench.declaration.name;
        let at = effect::record_key(operator, primary.key(), &metadata.uid, name, key);
        Ok(effect::record(&at, (primary.key(), &metadata.uid, owner), operator, (name, key, input)))
    }

    fn served(&self, resource: ResourceType) -> Result<Served, SheetError> {
        let definition = self.bench.gateway.registry().definition(resource).cloned();
        let definition = definition.ok_or(SheetError::Unserved(resource))?;
        let version = definition.versions.first().cloned().ok_or(SheetError::Unserved(resource))?;
        Ok(Served { definition, version })
    }

    fn target(&self, key: &ObjectKey, subresource: Subresource) -> Result<Target, SheetError> {
        let (namespace, name) = (key.namespace.clone(), Some(key.name.clone()));
        Ok(Target { served: self.served(key.resource)?, namespace, name, subresource })
    }

    fn prepare(&mut self, target: Target, action: Action, verb: &str, detail: String) -> Result<(), SheetError> {
        let options = Options {
            dry_run: false,
            field_validation: FieldValidation::Ignore,
            field_manager: self.manager.clone(),
            // What an operator applies it is there for.
            force: matches!(action, Action::Patch(PatchKind::Apply, _)),
        };
        let mutation =
            Mutation { identity: self.identity.clone(), origin: self.origin.clone(), target, action, options };
        let bench = self.bench;
        let considered = bench.gateway.consider(bench.snapshot, bench.now, self.entropy, bench.answers, &mutation);
        let write = match considered {
            Ok(prepared) => prepared.write,
            Err(Unprepared::Refused(status)) => return Err(SheetError::Status(Box::new(status))),
            // What follows is prepared all the same: all questions of a step are put at once.
            Err(Unprepared::Asks(calls)) => {
                self.questions.extend(calls);
                return Ok(());
            }
        };
        for change in write.changes {
            let object = change.key.to_string();
            let record = CommandRecord { verb: verb.to_owned(), object, revision: None, detail: detail.clone() };
            self.assembly.records.push(record);
            self.touched.insert(change.key.clone());
            self.assembly.write.changes.push(change);
        }
        Ok(())
    }

    /// Events take the room that is left: they never keep a command waiting, and one that is refused (its namespace is
    /// going) is lost without harm.
    fn add_events(&mut self, recorder: &Recorder, commands: &[Command]) {
        if !commands.iter().any(|command| matches!(command, Command::Event { .. })) {
            return;
        }
        let (bench, registry) = (self.bench, self.bench.gateway.registry());
        let (recordings, said) = recorder.record(commands, bench.snapshot, &registry, bench.now, self.entropy);
        self.assembly.said = said;
        for recording in recordings {
            if !self.is_full() {
                let _ = self.add_event(recording);
            }
        }
    }

    fn add_event(&mut self, recording: Recording) -> Result<(), SheetError> {
        let served = self.served(EVENTS)?;
        let (name, event) = match recording {
            Recording::New(event) => (None, event),
            Recording::Again(key, event) => (Some(key.name), event),
        };
        let namespace: Option<Name> = event.pointer("/metadata/namespace").and_then(Value::as_str).map(Into::into);
        let text = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let detail = format!("{}: {}", text("reason"), text("message"));
        let action = match &name {
            None => Action::Create(Body::Value(event)),
            Some(_) => Action::Update(Body::Value(event)),
        };
        self.prepare(Target { served, namespace, name, subresource: Subresource::Whole }, action, "event", detail)
    }
}

/// Who an operator is, as Kubernetes' own controllers are. What it may do is what it declares, which is checked before the
/// gateway is asked.
pub(super) fn service_account(manager: &str) -> Identity {
    let mut identity = Identity::service_account("kube-system", manager);
    identity.groups.insert(0, MASTERS.to_owned());
    identity
}
