//! What an author describes.

use jiff::Timestamp;
use sampan_core::gateway::Admission;
use sampan_core::object::ObjectKey;
use sampan_core::operator::Driver;
use sampan_core::resource::ResourceDefinition;
use sampan_core::store::{Snapshot, TimesToLive};
use serde_json::Value;

/// Something that must hold of the cluster.
pub type Law = Box<dyn Fn(&Snapshot, Timestamp) -> Result<(), String>>;

/// A small world.
pub struct World {
    /// Its name, for reports.
    pub name: &'static str,
    /// What is served, beside what Sampan always serves.
    pub definitions: Vec<ResourceDefinition>,
    /// Rules of admission of this world.
    pub admissions: fn() -> Vec<Box<dyn Admission>>,
    /// Adds the operators under test.
    pub operators: Box<dyn Fn(&mut Driver)>,
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
}

/// Somebody who acts beside the operators.
pub struct Actor {
    /// Such as `kubelet`.
    pub name: &'static str,
    /// How often it may act in one history; `None` for ever, where its deeds lead to finitely many states.
    pub times: Option<usize>,
    /// What it could do next.
    pub deeds: Box<dyn Fn(&Snapshot, Timestamp) -> Vec<Deed>>,
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
    /// Deletion with the object's own grace.
    Delete(ObjectKey),
    /// Removal at once: what a node does when a pod has ended.
    Remove(ObjectKey),
}

impl World {
    /// A world where nothing is and nobody acts.
    pub fn new(name: &'static str, operators: impl Fn(&mut Driver) + 'static) -> Self {
        Self {
            name,
            definitions: Vec::new(),
            admissions: Vec::new,
            operators: Box::new(operators),
            initial: Vec::new(),
            actors: Vec::new(),
            always: Vec::new(),
            at_rest: Vec::new(),
            ages_seconds: 0,
            states_max: 5_000,
            seed: 1,
            times_to_live: TimesToLive::default(),
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
    pub fn actor(mut self, name: &'static str, deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + 'static) -> Self {
        self.actors.push(Actor { name, times: None, deeds: Box::new(deeds) });
        self
    }

    /// With somebody who acts at most so many times in one history.
    pub fn actor_times(
        mut self,
        times: usize,
        name: &'static str,
        deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + 'static,
    ) -> Self {
        self.actors.push(Actor { name, times: Some(times), deeds: Box::new(deeds) });
        self
    }

    /// With a law for every revision.
    pub fn always(
        mut self,
        name: &'static str,
        law: impl Fn(&Snapshot, Timestamp) -> Result<(), String> + 'static,
    ) -> Self {
        self.always.push((name, Box::new(law)));
        self
    }

    /// With a law for where nothing is left to do.
    pub fn at_rest(
        mut self,
        name: &'static str,
        law: impl Fn(&Snapshot, Timestamp) -> Result<(), String> + 'static,
    ) -> Self {
        self.at_rest.push((name, Box::new(law)));
        self
    }
}
