//! What an author describes.

use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::gateway::Admission;
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Driver;
use sampan_core::resource::ResourceDefinition;
use sampan_core::store::{Snapshot, TimesToLive};
use serde_json::{Map, Value};

use crate::digest::{Alike, Incidental};

/// Something that must hold of the cluster.
pub type Law = Arc<dyn Fn(&Snapshot, Timestamp) -> Result<(), String> + Send + Sync>;

/// What somebody could do next.
pub type Deeds = Arc<dyn Fn(&Snapshot, Timestamp) -> Vec<Deed> + Send + Sync>;

/// A small world.
#[derive(Clone)]
pub struct World {
    /// Its name, for reports.
    pub name: String,
    /// What is served, beside what Sampan always serves.
    pub definitions: Vec<ResourceDefinition>,
    /// Rules of admission of this world.
    pub admissions: fn() -> Vec<Box<dyn Admission>>,
    /// Adds the operators under test.
    pub operators: Arc<dyn Fn(&mut Driver) + Send + Sync>,
    /// The objects it starts with, in order of creation.
    pub initial: Vec<Value>,
    /// Who else acts.
    pub actors: Vec<Actor>,
    /// What must hold at every revision.
    pub always: Vec<(&'static str, Law)>,
    /// What must hold wherever the operators have nothing left to do.
    pub at_rest: Vec<(&'static str, Law)>,
    /// Ages of timestamps are told apart up to so many seconds: what the longest timer in this world needs.
    pub ages_seconds: i64,
    /// The bound: reaching it fails, as the world is then not explored.
    pub states_max: usize,
    /// Names and uids are drawn from it: a world goes the same way from the same seed.
    pub seed: u64,
    /// Which objects go by themselves.
    pub times_to_live: TimesToLive,
    /// Whether exploring it takes minutes: then a small budget only draws histories in it.
    pub is_large: bool,
    /// The object the operator works for here, whose specs and deletion are tried.
    pub subject: Option<ObjectKey>,
    /// The manifests of the subject that are tried from every state, by name. Their ends are compared with fresh deploys.
    pub specs: Vec<(&'static str, Value)>,
    /// What of an object tells its history, or is drawn by lot, and does not count when two ends are compared.
    pub incidental: Incidental,
    /// What of an object tells states apart that go on alike.
    pub alike: Alike,
    /// Resource types the operator's commits do not rest on, although it read them: what it writes is derived of them as a
    /// status is, may lag behind a change of them, and is corrected by the wake-up that follows.
    pub lags_behind: &'static [ResourceType],
    /// What of the subject's status is remembered rather than observed, as JSON pointers.
    pub remembered: &'static [&'static str],
    /// Whether the operator may change an object it does not own for the sake of this primary.
    pub may_touch: fn(&Object, &ObjectKey) -> bool,
    /// Whether an object that was created for the subject is its no longer, and outlives it.
    pub is_let_go: fn(&Object) -> bool,
    /// Whether an object the operator changed for the subject, and does not own, stays so when the subject goes.
    pub stays_changed: fn(&Object) -> bool,
    /// Whether the operator writes the status of its primaries, so that it must be able to rebuild it.
    pub tells_status: bool,
    /// The world beyond the store as it is at first, for effects: [`beyond::act`](crate::beyond::act).
    pub beyond: Value,
    /// Whether what effects did beyond the store outlives the subject.
    pub leaves_beyond: bool,
}

/// Somebody who acts beside the operators.
#[derive(Clone)]
pub struct Actor {
    /// Such as `kubelet`.
    pub name: &'static str,
    /// How often it may act in one history; `None` for ever, where its deeds lead to finitely many states.
    pub times: Option<usize>,
    /// Whether the world waits for it: left alone it acts until it has nothing to do, and only then the world has come to
    /// its end.
    pub helps: bool,
    /// Whether what it writes is read by rules of admission. What they let through just before stays: a step it comes
    /// between may end as if it had come after.
    pub rules: bool,
    /// What it could do next.
    pub deeds: Deeds,
}

/// Something that may happen.
#[derive(Debug, Clone)]
pub struct Deed {
    /// For traces, such as `web-1 becomes ready`.
    pub what: String,
    /// What it writes.
    pub edit: Edit,
}

/// A write from outside.
#[derive(Debug, Clone)]
pub enum Edit {
    /// A new object.
    Create(Value),
    /// A whole object, as it should be.
    Update(Value),
    /// A whole object with its status as it should be.
    UpdateStatus(Value),
    /// A whole pod with resources as its containers should have them while they run.
    Resize(Value),
    /// Deletion with the object's own grace.
    Delete(ObjectKey),
    /// Removal at once: what a node does when a pod has ended.
    Remove(ObjectKey),
}

impl World {
    /// A world where nothing is and nobody acts.
    pub fn new(name: impl Into<String>, operators: impl Fn(&mut Driver) + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            definitions: Vec::new(),
            admissions: Vec::new,
            operators: Arc::new(operators),
            initial: Vec::new(),
            actors: Vec::new(),
            always: Vec::new(),
            at_rest: Vec::new(),
            ages_seconds: 0,
            states_max: 5_000,
            seed: 1,
            times_to_live: TimesToLive::default(),
            is_large: false,
            subject: None,
            specs: Vec::new(),
            incidental: |_| true,
            alike: |_| (),
            lags_behind: &[],
            remembered: &[],
            may_touch: |_, _| false,
            is_let_go: |_| false,
            stays_changed: |_| false,
            tells_status: true,
            beyond: Value::Object(Map::new()),
            leaves_beyond: false,
        }
    }

    /// With a resource type.
    pub fn serving(mut self, definition: ResourceDefinition) -> Self {
        self.definitions.push(definition);
        self
    }

    /// With an object from the start.
    pub fn holding(mut self, object: Value) -> Self {
        self.initial.push(object);
        self
    }

    /// With somebody who acts any number of times.
    pub fn actor(
        self,
        name: &'static str,
        deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + Send + Sync + 'static,
    ) -> Self {
        self.with(Actor { name, times: None, helps: false, rules: false, deeds: Arc::new(deeds) })
    }

    /// With somebody whom the world waits for: it acts until it has nothing left to do.
    pub fn helper(
        self,
        name: &'static str,
        deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + Send + Sync + 'static,
    ) -> Self {
        self.with(Actor { name, times: None, helps: true, rules: false, deeds: Arc::new(deeds) })
    }

    /// With somebody who acts at most so many times in one history.
    pub fn actor_times(
        self,
        times: usize,
        name: &'static str,
        deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + Send + Sync + 'static,
    ) -> Self {
        self.with(Actor { name, times: Some(times), helps: false, rules: false, deeds: Arc::new(deeds) })
    }

    /// With somebody.
    pub fn with(mut self, actor: Actor) -> Self {
        self.actors.push(actor);
        self
    }

    /// With a law for every revision.
    pub fn always(
        mut self,
        name: &'static str,
        law: impl Fn(&Snapshot, Timestamp) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.always.push((name, Arc::new(law)));
        self
    }

    /// With a law for where nothing is left to do.
    pub fn at_rest(
        mut self,
        name: &'static str,
        law: impl Fn(&Snapshot, Timestamp) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.at_rest.push((name, Arc::new(law)));
        self
    }
}
