//! From a step's commands to one write: each command goes through the gateway, all are committed together or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::CommandRecord;
use serde_json::{Value, json};

use super::effect;
use super::flight::{Permission, refused};
use super::recorder::{EVENTS, Recorder, Recording, Said};
use super::{Command, Declaration, Guarding, Refused, WriteVerb, Yield};
use crate::access::MASTERS;
use crate::entropy::Entropy;
use crate::gateway::{
    Action, Answers, Body, Call, FieldValidation, Gateway, Identity, Mutation, Options, PatchKind, Subresource, Target,
    Twins, Unprepared,
};
use crate::object::{Name, ObjectKey, ResourceType};
use crate::resource::read::at;
use crate::resource::{EFFECTS, Served, SubresourceHandler};
use crate::status::Status;
use crate::store::{Change, Guard, Origin, ReadKey, Snapshot, Write};

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

/// Prepares a step's commands. Their objects are taken out of them: a step whose commands are refused runs again.
pub(super) fn assemble(
    bench: &Workbench<'_>,
    out: &mut Yield,
    recorder: &Recorder,
    entropy: &mut dyn Entropy,
) -> Result<Assembly, AssemblyError> {
    check_declared(bench.declaration, &out.commands)?;
    let permissions: Vec<Permission> = out.commands.iter().map(Command::permission).collect();
    let told = told(&out.commands);
    let mut sheet = Sheet::new(bench, entropy);
    for (index, command) in out.commands.iter_mut().enumerate() {
        if matches!(command, Command::Event { .. }) {
            continue;
        }
        if yields_to_status(command, &told) {
            sheet.assembly.left_over = true;
        } else {
            sheet.add(command, index).map_err(|error| failed(error, &permissions, index))?;
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

/// The objects whose status is written.
fn told(commands: &[Command]) -> BTreeSet<ObjectKey> {
    let told = commands.iter().filter_map(|command| match command {
        Command::UpdateStatus { key, .. } => Some(key.clone()),
        _ => None,
    });
    told.collect()
}

/// A change of an object waits for the step after the one that writes the object's status: what a status says of its step
/// no later one could tell, while a change follows from any snapshot.
fn yields_to_status(command: &Command, told: &BTreeSet<ObjectKey>) -> bool {
    matches!(command, Command::Update { key, .. } | Command::Apply { key, .. } if told.contains(key))
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

fn failed(error: SheetError, permissions: &[Permission], index: usize) -> AssemblyError {
    let status = match error {
        SheetError::Unserved(resource) => return AssemblyError::Unserved(resource),
        SheetError::Status(status) => *status,
    };
    if status.code >= 500 || status.code == 429 {
        return AssemblyError::Transient(status);
    }
    match refused(permissions, index, status.clone()) {
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
    /// The last new object, for those that are like it.
    twins: Twins,
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
        let (touched, twins, questions) = (BTreeSet::new(), Twins::default(), Vec::new());
        Self { bench, entropy, identity, manager, origin, touched, twins, questions, assembly }
    }

    /// Prepares a command and adds its change. One that would change nothing leaves no trace.
    fn add(&mut self, command: &mut Command, index: usize) -> Result<(), SheetError> {
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

    fn request(&self, command: &mut Command, resource: ResourceType) -> Result<(Target, Action), SheetError> {
        let whole = Subresource::Whole;
        Ok(match command {
            Command::Create { object, .. } => {
                let namespace = at(object, "/metadata/namespace").and_then(Value::as_str).map(Into::into);
                let target = Target { served: self.served(resource)?, namespace, name: None, subresource: whole };
                (target, Action::Create(Body::Value(object.take())))
            }
            Command::Update { key, object } => {
                (self.target(key, whole, object)?, Action::Update(Body::Value(object.take())))
            }
            Command::Apply { key, object, .. } => {
                (self.target(key, whole, object)?, Action::Patch(PatchKind::Apply, Body::Value(object.take())))
            }
            Command::UpdateStatus { key, object } => {
                (self.target(key, Subresource::Status, object)?, Action::Update(Body::Value(object.take())))
            }
            Command::Delete { key, options } => {
                (self.target(key, whole, &Value::Null)?, Action::Delete(options.clone()))
            }
            Command::Subresource { key, name, body } => {
                let target = self.target(key, Subresource::Named(name), &Value::Null)?;
                let body = Body::Value(body.take());
                let is_command = target.named().is_none_or(|named| named.handler == SubresourceHandler::Command);
                (target, if is_command { Action::Create(body) } else { Action::Update(body) })
            }
            Command::Effect { name, key, input } => {
                let record = self.effect_record(name, key, input)?;
                let namespace = at(&record, "/metadata/namespace").and_then(Value::as_str).map(Into::into);
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

    /// A resource type in the version that is stored.
    fn served(&self, resource: ResourceType) -> Result<Served, SheetError> {
        self.served_as(resource, &Value::Null)
    }

    /// A resource type in the version an object says it is in: an operator hands back what it has read, which may have been stored
    /// when another version was.
    fn served_as(&self, resource: ResourceType, object: &Value) -> Result<Served, SheetError> {
        let registry = self.bench.gateway.registry();
        let definition = registry.definition(resource).ok_or(SheetError::Unserved(resource))?;
        let said = object.get("apiVersion").and_then(Value::as_str);
        let spoken = definition.versions.iter().find(|version| said.is_some_and(|said| version.api_version() == said));
        let version = spoken.or(definition.versions.first()).ok_or(SheetError::Unserved(resource))?;
        let definition = registry.in_version(definition, version.version).clone();
        Ok(Served { definition, version: version.clone() })
    }

    fn target(&self, key: &ObjectKey, subresource: Subresource, object: &Value) -> Result<Target, SheetError> {
        let (namespace, name) = (key.namespace.clone(), Some(key.name.clone()));
        Ok(Target { served: self.served_as(key.resource, object)?, namespace, name, subresource })
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
        if let Some(twin) = self.twins.twin(bench.snapshot, self.entropy, &mutation) {
            self.note(twin, verb, &detail);
            return Ok(());
        }
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
        self.twins.keep(bench.snapshot, &mutation, &write.changes);
        for change in write.changes {
            self.note(change, verb, &detail);
        }
        Ok(())
    }

    fn note(&mut self, change: Change, verb: &str, detail: &str) {
        let (verb, detail) = (verb.to_owned(), detail.to_owned());
        self.assembly.records.push(CommandRecord { verb, object: change.key.to_string(), revision: None, detail });
        self.touched.insert(change.key.clone());
        self.assembly.write.changes.push(change);
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
        let namespace: Option<Name> = at(&event, "/metadata/namespace").and_then(Value::as_str).map(Into::into);
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
