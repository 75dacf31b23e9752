//! What a step may look at, and where it puts its commands.

mod reading;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sampan_machine::{Observe, Scene, Trace};
use serde_json::Value;

use super::effect::{self, EffectState};
use super::{Command, Declaration, EventKind, Kind, Refused, Wake};
use crate::entropy::Entropy;
use crate::gateway::DeleteOptions;
use crate::object::{Object, ObjectKey, ResourceType, Uid};
use crate::resource::{EFFECTS, Registry};
use crate::store::{ReadKey, Snapshot};

/// What a step may look at, and where it puts its commands. Every read is recorded: it guards the commit.
pub struct Context<'a> {
    snapshot: &'a Snapshot,
    registry: &'a Registry,
    declaration: &'a Declaration,
    key: &'a ObjectKey,
    now: Timestamp,
    hears_since: Timestamp,
    entropy: &'a mut dyn Entropy,
    refusal: Option<Arc<Refused>>,
    out: Yield,
}

/// What a step left behind.
#[derive(Debug, Default)]
pub struct Yield {
    /// What it says as a status is no derivation: it is guarded as everything else is.
    pub guards_status: bool,
    /// Everything read.
    pub reads: BTreeSet<ReadKey>,
    /// What the step marked as decisive.
    pub decisive: BTreeSet<ReadKey>,
    /// What is to be done.
    pub commands: Vec<Command>,
    /// When to come back even if nothing changes.
    pub wake_after: Option<Duration>,
    /// Edges crossed and guards unmet.
    pub trace: Trace,
    /// What makes the step void.
    pub fault: Option<Fault>,
    /// The step ended before it could decide: nothing of it counts, and it is run again once somebody says so.
    pub suspended: bool,
}

/// What makes a step void: nothing of it is committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The operator read a resource type it does not watch, so that it would never hear of a change.
    #[error("the operator read {0}, which it does not declare to watch")]
    UndeclaredRead(ResourceType),
    /// The operator read objects of every kind and does not watch them all.
    #[error("the operator read objects of every kind, which it does not declare to watch")]
    UndeclaredReads,
    /// The operator read what its commits are not guarded by.
    #[error("the operator read without guarding, and does not declare what its commits rest on instead")]
    Unguarded,
    /// A stored object is none of the kind it should be.
    #[error("{object} does not decode: {reason}")]
    Undecodable {
        /// The object.
        object: ObjectKey,
        /// What does not fit.
        reason: String,
    },
    /// The operator asked for an effect it does not declare.
    #[error("the operator asked for the effect {0:?}, which it does not declare")]
    UndeclaredEffect(&'static str),
    /// What decides for the operator has given an answer nothing can be done with.
    #[error("{0}")]
    Unusable(String),
    /// A value could not be turned into JSON.
    #[error("failed to encode {kind}: {reason}")]
    Unencodable {
        /// Its kind.
        kind: &'static str,
        /// What does not fit.
        reason: String,
    },
}

impl<'a> Context<'a> {
    /// A context for one step, as the driver makes it and tests may.
    pub fn new(
        snapshot: &'a Snapshot,
        registry: &'a Registry,
        declaration: &'a Declaration,
        wake: &'a Wake,
        now: Timestamp,
        hears_since: Timestamp,
        entropy: &'a mut dyn Entropy,
    ) -> Self {
        let (key, refusal) = (&wake.key, wake.refusal.clone());
        Self { snapshot, registry, declaration, key, now, hears_since, entropy, refusal, out: Yield::default() }
    }

    /// The resource types served. They change by the changes of their definitions: what a step concludes from them is right
    /// until the next of those, which wakes whoever watches definitions.
    pub fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// What the step left behind.
    pub fn finish(self) -> Yield {
        self.out
    }
}

/// Commanding.
impl Context<'_> {
    /// Creates an object.
    pub fn create<K: Kind>(&mut self, object: &K) {
        if let Some(object) = self.encoded(object) {
            self.command(Command::Create { resource: K::RESOURCE, object });
        }
    }

    /// Replaces an object that was read. Equal to what is stored, it is no command.
    pub fn update<K: Kind>(&mut self, object: &K) {
        let key = object.key();
        let Some(object) = self.encoded(object) else { return };
        if self.stored::<K>(&key).as_ref() != Some(&object) {
            self.command(Command::Update { key, object });
        }
    }

    /// Replaces the status of an object that was read. Equal to what is stored, it is no command.
    pub fn update_status<K: Kind>(&mut self, object: &K) {
        let key = object.key();
        let Some(object) = self.encoded(object) else { return };
        if self.stored::<K>(&key).as_ref().map(|stored| stored.get("status")) != Some(object.get("status")) {
            self.command(Command::UpdateStatus { key, object });
        }
    }

    /// Has the statuses this step writes rest on what it read, as all else does. Most are derived of what there is, and the next
    /// wake-up corrects them; this is for those that decide something, which no later step takes back.
    pub fn guard_status(&mut self) {
        self.out.guards_status = true;
    }

    /// Deletes an object that was read: this one, never another of its name.
    pub fn delete<K: Kind>(&mut self, object: &K, options: DeleteOptions) {
        let uid = object.meta().uid.as_deref().map(|uid| Uid(uid.into()));
        let options = DeleteOptions { uid, ..options };
        self.command(Command::Delete { key: object.key(), options });
    }

    /// Deletes an object of any kind that was read: this one, never another of its name.
    pub fn delete_object(&mut self, object: &Object, options: DeleteOptions) {
        let options = DeleteOptions { uid: Some(object.metadata().uid.clone()), ..options };
        self.command(Command::Delete { key: object.key().clone(), options });
    }

    /// Has an object of any kind be as these fields say, by server-side apply: created where it is missing, and otherwise
    /// changed in these fields alone. Where it is so already, nothing is written.
    pub fn apply(&mut self, key: ObjectKey, object: Value) {
        let creates = self.object(&key).is_none();
        self.command(Command::Apply { key, object, creates });
    }

    /// Ends the step before it decides: what it needs to know is being asked for. Nothing of it counts, no other step of the
    /// key begins, and [`Loop::resume`](super::Loop::resume) has it run again, on the snapshot of then.
    pub fn suspend(&mut self) {
        self.out.suspended = true;
    }

    /// Issues a command on an object of any kind.
    pub fn command(&mut self, command: Command) {
        self.out.commands.push(command);
    }

    /// What has been commanded so far.
    pub fn commands(&mut self) -> &mut Vec<Command> {
        &mut self.out.commands
    }

    /// Tells users about the primary.
    pub fn event(&mut self, kind: EventKind, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) {
        let regarding = self.key.clone();
        self.command(Command::Event { regarding, kind, reason: reason.into(), message: message.into() });
    }

    /// Asks for an effect, once for each key, and tells how it stands. The primary is woken when that changes; until it is
    /// done, the object is said to wait for it.
    ///
    /// # Caveats
    /// The first input given with a key is the one it is run with.
    pub fn effect(&mut self, name: &'static str, key: &str, input: Value) -> EffectState {
        let Some(record) = self.effect_record(name, key) else { return EffectState::Asked };
        let Some(found) = self.object(&record) else {
            if let Some(refused) = self.refusal().filter(|refused| refused.resource == EFFECTS) {
                let why = format!("it may not be asked for: {}", refused.status.message);
                self.wait_for_effect(name, key, &why);
                return EffectState::Asked;
            }
            self.command(Command::Effect { name, key: key.to_owned(), input });
            self.wait_for_effect(name, key, "it is asked for");
            return EffectState::Asked;
        };
        let state = effect::state(&found);
        if let EffectState::Pending { tries, error, progress } = &state {
            let error = error.as_ref().map(|error| format!(", the last with: {error}")).unwrap_or_default();
            let progress = progress.as_ref().map(|progress| format!("; now: {progress}")).unwrap_or_default();
            self.wait_for_effect(name, key, &format!("tries so far: {tries}{error}{progress}"));
        }
        state
    }

    /// Lets what came of an effect be forgotten, so that its key may be asked for anew. One that is not done is done first.
    pub fn forget_effect(&mut self, name: &'static str, key: &str) {
        let record = self.effect_record(name, key).and_then(|record| self.object(&record));
        if let Some(record) = record.filter(|record| !record.metadata().is_terminating()) {
            self.delete_object(&record, DeleteOptions::default());
        }
    }

    fn effect_record(&mut self, name: &'static str, key: &str) -> Option<ObjectKey> {
        if self.declaration.effects.iter().all(|effect| effect.name != name) {
            self.fault(Fault::UndeclaredEffect(name));
            return None;
        }
        let uid = self.primary_object()?.metadata().uid.clone();
        Some(effect::record_key(self.declaration.name, self.key, &uid, name, key))
    }

    fn wait_for_effect(&mut self, name: &str, key: &str, detail: &str) {
        self.out.trace.waiting_for(format!("effect {name} {key} is done"), detail, None);
    }

    /// Wakes the primary after a time even if nothing changes; the earliest of several counts.
    pub fn wake_after(&mut self, delay: Duration) {
        self.out.wake_after = Some(self.out.wake_after.map_or(delay, |earlier| earlier.min(delay)));
    }

    /// Lets the machine look at what was observed; gives the view back, and what is wanted done.
    pub fn observe<V, I>(&mut self, machine: &mut impl Observe<V, I>, view: V) -> (V, Vec<I>) {
        let mut scene = Scene { view, intents: Vec::new(), trace: std::mem::take(&mut self.out.trace) };
        machine.observe(&mut scene);
        self.out.trace = scene.trace;
        (scene.view, scene.intents)
    }

    /// Where the step records edges crossed and guards unmet.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.out.trace
    }

    fn encoded<K: Kind>(&mut self, object: &K) -> Option<Value> {
        match serde_json::to_value(object) {
            Ok(mut value) => {
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("apiVersion".into(), K::API_VERSION.into());
                    fields.insert("kind".into(), K::KIND.into());
                }
                Some(value)
            }
            Err(error) => {
                self.fault(Fault::Unencodable { kind: K::KIND, reason: error.to_string() });
                None
            }
        }
    }

    /// What is stored, in the spelling `K` gives it: to compare with.
    fn stored<K: Kind>(&mut self, key: &ObjectKey) -> Option<Value> {
        let typed = self.snapshot.get(key)?.decode::<K>().ok()?;
        self.encoded(&*typed)
    }
}
