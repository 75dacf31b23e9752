//! What a step may look at, and where it puts its commands.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sampan_machine::{Observe, Scene, Trace};
use serde_json::Value;

use super::effect::{self, EffectState};
use super::{Command, Declaration, EventKind, Guarding, Kind, Refused, Wake};
use crate::entropy::Entropy;
use crate::gateway::DeleteOptions;
use crate::object::selector::{Operator as LabelOperator, Selector};
use crate::object::{Object, ObjectKey, ResourceType, Uid};
use crate::resource::{EFFECTS, Registry, is_indexed};
use crate::store::{IndexKey, ReadKey, Snapshot};

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

/// Reading.
impl<'a> Context<'a> {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Since when operators hear of what happens without a gap: the start of the process, or when it came to itself again
    /// after the machine had slept, or its clock was set. That nothing was heard before that says nothing.
    pub fn hears_since(&self) -> Timestamp {
        self.hears_since
    }

    /// The primary's key.
    pub fn key(&self) -> &ObjectKey {
        self.key
    }

    /// Random bits, reproducible in simulation.
    pub fn random(&mut self) -> &mut dyn Entropy {
        self.entropy
    }

    /// What was refused of the step before, which this one should take into account.
    pub fn refusal(&self) -> Option<&Refused> {
        self.refusal.as_deref()
    }

    /// The primary, unless it is gone. Where it does not decode, the step is void and the object reported.
    pub fn primary<K: Kind>(&mut self) -> Option<Arc<K>> {
        self.get(&self.key.clone())
    }

    /// The primary as it is stored, for operators of every kind.
    pub fn primary_object(&mut self) -> Option<Arc<Object>> {
        self.object(&self.key.clone())
    }

    /// One object.
    pub fn get<K: Kind>(&mut self, key: &ObjectKey) -> Option<Arc<K>> {
        let object = self.object(key)?;
        self.decoded(&object)
    }

    /// One object as it is stored.
    pub fn object(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        self.watched(key.resource);
        self.out.reads.insert(ReadKey::Object(key.clone()));
        self.snapshot.get(key).cloned()
    }

    /// When an object was changed last, by the clock of the store: whatever times are written in it.
    pub fn changed_at(&mut self, key: &ObjectKey) -> Option<Timestamp> {
        self.object(key)?.look();
        self.snapshot.changed_at(key)
    }

    /// All objects of a kind, in one namespace or everywhere.
    pub fn list<K: Kind>(&mut self, namespace: Option<&str>) -> Vec<Arc<K>> {
        let objects = self.objects(K::RESOURCE, namespace);
        self.all_decoded(&objects)
    }

    /// All objects of a resource type as they are stored, in one namespace or everywhere.
    pub fn objects(&mut self, resource: ResourceType, namespace: Option<&str>) -> Vec<Arc<Object>> {
        self.watched(resource);
        self.out.reads.insert(ReadKey::Collection(resource, namespace.map(Into::into)));
        self.snapshot.list(resource, namespace, None).cloned().collect()
    }

    /// Everything in a namespace as it is stored, in order of resource type and name.
    pub fn contents(&mut self, namespace: &str) -> Vec<Arc<Object>> {
        let resources: Vec<ResourceType> = self.snapshot.resources().collect();
        resources.into_iter().flat_map(|resource| self.objects(resource, Some(namespace))).collect()
    }

    /// The objects of a kind that name the primary among their owners.
    pub fn owned<K: Kind>(&mut self) -> Vec<Arc<K>> {
        let objects = self.owned_objects(K::RESOURCE);
        self.all_decoded(&objects)
    }

    /// The objects of a resource type that name the primary among their owners, as they are stored.
    pub fn owned_objects(&mut self, resource: ResourceType) -> Vec<Arc<Object>> {
        self.watched(resource);
        let Some(uid) = self.primary_object().map(|primary| primary.metadata().uid.clone()) else {
            return Vec::new();
        };
        let mut objects = self.indexed(IndexKey::Owner(uid));
        objects.retain(|object| object.key().resource == resource);
        objects
    }

    /// The objects of every kind that name the primary among their owners, as they are stored.
    pub fn dependents(&mut self) -> Vec<Arc<Object>> {
        let Some(uid) = self.primary_object().map(|primary| primary.metadata().uid.clone()) else {
            return Vec::new();
        };
        self.dependents_of(&uid)
    }

    /// The objects of every kind that name this uid among their owners, as they are stored.
    pub fn dependents_of(&mut self, uid: &Uid) -> Vec<Arc<Object>> {
        if !self.declaration.reads_everything() {
            self.fault(Fault::UndeclaredReads);
        }
        self.indexed(IndexKey::Owner(uid.clone()))
    }

    /// The objects of a kind in a namespace that a selector matches.
    pub fn matching<K: Kind>(&mut self, namespace: &str, selector: &Selector) -> Vec<Arc<K>> {
        let objects = self.matching_objects(K::RESOURCE, namespace, selector);
        self.all_decoded(&objects)
    }

    /// Those of a kind in a namespace that a selector matches and nobody controls: whom the primary may adopt.
    pub fn orphans<K: Kind>(&mut self, namespace: &str, selector: &Selector) -> Vec<Arc<K>> {
        let mut objects = self.matching_objects(K::RESOURCE, namespace, selector);
        objects.retain(|object| object.metadata().controller().is_none());
        self.all_decoded(&objects)
    }

    /// The objects of a resource type in a namespace that a selector matches, as they are stored.
    pub fn matching_objects(
        &mut self,
        resource: ResourceType,
        namespace: &str,
        selector: &Selector,
    ) -> Vec<Arc<Object>> {
        self.watched(resource);
        let candidates = self.narrowest(resource, namespace, selector);
        let mut objects = match candidates {
            Some(index) => self.indexed(index),
            None => self.objects(resource, Some(namespace)),
        };
        objects.retain(|object| selector.matches(&object.metadata().labels));
        objects
    }

    /// The objects of a kind with this value in a selectable field, such as `spec.nodeName`. Where objects are [not found by
    /// it](is_indexed) all of the kind are gone through, and what is decided rests on all.
    pub fn with_field<K: Kind>(&mut self, field: &'static str, value: &str) -> Vec<Arc<K>> {
        let resource = K::RESOURCE;
        self.watched(resource);
        let asked = IndexKey::Field { resource, field, value: value.into() };
        let objects = if is_indexed(resource, field) {
            self.indexed(asked)
        } else {
            let all = self.objects(resource, None);
            all.into_iter().filter(|object| asked.holds(object)).collect()
        };
        self.all_decoded(&objects)
    }

    /// Reads without guarding: for operators that declare [`Guarding::Decisive`] and mark what is. For others the step is
    /// void: its commit would rest on less than it read.
    pub fn unguarded(&mut self) -> &'a Snapshot {
        if !matches!(self.declaration.guarding, Guarding::Decisive { .. }) {
            self.fault(Fault::Unguarded);
        }
        self.snapshot
    }

    /// Marks something read through [`unguarded`](Self::unguarded) as decisive.
    ///
    /// # Panics
    /// When it is of a field that objects are [not found by](is_indexed): nothing would tell that it has changed.
    pub fn rests_on(&mut self, read: ReadKey) {
        if let ReadKey::Index(key) | ReadKey::Members(key) | ReadKey::Placed(key) = &read {
            key.require_index();
        }
        self.out.decisive.insert(read);
    }

    /// What has been marked as decisive so far.
    pub fn decisive(&mut self) -> &mut BTreeSet<ReadKey> {
        &mut self.out.decisive
    }

    fn indexed(&mut self, index: IndexKey) -> Vec<Arc<Object>> {
        let objects = self.snapshot.index(&index).cloned().collect();
        self.out.reads.insert(ReadKey::Index(index));
        objects
    }

    /// Of the labels a selector asks an exact value of, the one the fewest objects carry.
    fn narrowest(&self, resource: ResourceType, namespace: &str, selector: &Selector) -> Option<IndexKey> {
        let exact = selector.requirements.iter().filter_map(|requirement| match &requirement.operator {
            LabelOperator::In(values) => match values.as_slice() {
                [only] => Some((requirement.label.clone(), only.clone())),
                _ => None,
            },
            _ => None,
        });
        let indexes: Vec<IndexKey> = exact
            .map(|(label, value)| IndexKey::Label { resource, namespace: Some(namespace.into()), label, value })
            .collect();
        if indexes.len() < 2 {
            return indexes.into_iter().next();
        }
        indexes.into_iter().min_by_key(|index| self.snapshot.index(index).count())
    }

    fn watched(&mut self, resource: ResourceType) {
        if !self.declaration.reads(resource) {
            self.fault(Fault::UndeclaredRead(resource));
        }
    }

    fn decoded<K: Kind>(&mut self, object: &Object) -> Option<Arc<K>> {
        match object.decode::<K>() {
            Ok(typed) => Some(typed),
            Err(error) => {
                let reason = error.source.to_string();
                self.fault(Fault::Undecodable { object: object.key().clone(), reason });
                None
            }
        }
    }

    fn all_decoded<K: Kind>(&mut self, objects: &[Arc<Object>]) -> Vec<Arc<K>> {
        objects.iter().filter_map(|object| self.decoded(object)).collect()
    }

    /// Makes the step void: nothing of it is committed, and the decision says why. The first fault is the one reported:
    /// those after it are its consequences.
    pub fn fault(&mut self, fault: Fault) {
        self.out.fault.get_or_insert(fault);
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
