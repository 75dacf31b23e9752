//! What an operator watches, owns and writes, declared as data.

use std::sync::Arc;

use serde_json::Value;

use super::{EffectFunction, EffectRequest, Kind, Telling};
use crate::object::{Object, ObjectKey, ResourceType};
use crate::resource::EFFECTS;
use crate::store::Snapshot;

/// Whether an operator has work with an object, by what is known of it without decoding it.
pub type Concern = Arc<dyn Fn(&Object) -> bool + Send + Sync>;

/// The primaries that a change of the object wakes, by the snapshot after the change.
pub type MapFunction = Arc<dyn Fn(&Object, &Snapshot) -> Vec<ObjectKey> + Send + Sync>;

/// Whether what an operator heeds differs between an object before a change and after it. It runs under `catch_unwind`.
pub type Heeds = fn(&Object, &Object) -> bool;

/// What an operator watches, owns and writes.
///
/// Its names last as long as the process; those of an operator learnt at run time pass through
/// [`lasting`](sampan_machine::lasting()).
#[derive(Clone)]
pub struct Declaration {
    /// The operator's name, such as `replicaset`. Its field manager is `<name>-controller`.
    pub name: &'static str,
    /// The resource type there is a machine for each object of; `None` for every one (garbage collector).
    pub primary: Option<ResourceType>,
    /// Which primaries it has work with, by what is known of an object without decoding it; `None` for all. It is asked
    /// at start and for changes mapped by [`Mapping::Itself`], of the old value and the new.
    pub concerns: Option<Concern>,
    /// What wakes it.
    pub watches: Vec<Watch>,
    /// What it may write.
    pub writes: Vec<Writes>,
    /// What it may do to the world beyond the store.
    pub effects: Vec<Effect>,
    /// What its commits are guarded by.
    pub guarding: Guarding,
    /// The name its Events come from, where that is not `<name>-controller`.
    pub event_source: Option<&'static str>,
}

impl Declaration {
    /// An operator with a machine for each object of kind `K`, which wakes when its object changes.
    pub fn of<K: Kind>(name: &'static str) -> Self {
        let mut declaration = Self::of_everything(name);
        declaration.primary = Some(K::RESOURCE);
        declaration.watches = vec![Watch::of(Some(K::RESOURCE), Mapping::Itself)];
        declaration
    }

    /// An operator with a machine for each object of every kind.
    pub fn of_everything(name: &'static str) -> Self {
        Self {
            name,
            primary: None,
            concerns: None,
            watches: vec![Watch::of(None, Mapping::Itself)],
            writes: Vec::new(),
            effects: Vec::new(),
            guarding: Guarding::EverythingRead,
            event_source: None,
        }
    }

    /// Also watching objects of kind `K`.
    pub fn watching<K: Kind>(mut self, wakes: Mapping) -> Self {
        self.watches.push(Watch::of(Some(K::RESOURCE), wakes));
        self
    }

    /// Of the watch declared last: woken by those changes alone in which something differs that the operator heeds. Nodes
    /// tell every few minutes that they live, and whoever watches them need not hear of that.
    pub fn heeding(mut self, heeds: Heeds) -> Self {
        self.watches.last_mut().expect("every declaration begins with a watch").heeds = Some(heeds);
        self
    }

    /// Also watching objects of kind `K`, and woken at start for those there are. At start every primary is woken anyway:
    /// this is for work that outlives its primary.
    pub fn watching_from_start<K: Kind>(mut self, wakes: Mapping) -> Self {
        self.watches.push(Watch { from_start: true, ..Watch::of(Some(K::RESOURCE), wakes) });
        self
    }

    /// Also watching objects of every kind.
    pub fn watching_everything(mut self, wakes: Mapping) -> Self {
        self.watches.push(Watch::of(None, wakes));
        self
    }

    /// Also doing this to objects of kind `K`.
    pub fn writing<K: Kind>(mut self, verb: WriteVerb) -> Self {
        self.writes.push(Writes { resource: Some(K::RESOURCE), verb });
        self
    }

    /// Also doing this to objects of every kind.
    pub fn writing_everything(mut self, verb: WriteVerb) -> Self {
        self.writes.push(Writes { resource: None, verb });
        self
    }

    /// Also doing this to the world beyond the store, on a thread beside the operators. What comes of it is kept in an
    /// Effect object, which wakes its primary. It is run at least once for each key: again after a crash or an error.
    pub fn effecting(
        self,
        name: &'static str,
        run: impl Fn(&EffectRequest) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.effecting_at_length(name, move |request, _| run(request))
    }

    /// Also doing this to the world, telling how far it has come: that is kept with the Effect object, and wakes its primary.
    pub fn effecting_at_length(
        mut self,
        name: &'static str,
        run: impl Fn(&EffectRequest, Telling<'_>) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        if self.effects.is_empty() {
            self.watches.push(Watch::of(Some(EFFECTS), Mapping::Owner));
            let verbs = [WriteVerb::Create, WriteVerb::Delete];
            self.writes.extend(verbs.map(|verb| Writes { resource: Some(EFFECTS), verb }));
        }
        self.effects.push(Effect { name, run: Arc::new(run) });
        self
    }

    /// Concerned with some of the primaries only.
    pub fn concerned_with(mut self, concerns: impl Fn(&Object) -> bool + Send + Sync + 'static) -> Self {
        self.concerns = Some(Arc::new(concerns));
        self
    }

    /// Whether objects of the resource type may be read.
    pub fn reads(&self, resource: ResourceType) -> bool {
        self.watches.iter().any(|watch| watch.resource.is_none_or(|watched| watched == resource))
    }

    /// Whether objects of every resource type may be read.
    pub fn reads_everything(&self) -> bool {
        self.watches.iter().any(|watch| watch.resource.is_none())
    }

    /// Whether this may be done to objects of the resource type.
    pub fn may(&self, verb: WriteVerb, resource: ResourceType) -> bool {
        self.writes
            .iter()
            .any(|writes| writes.verb == verb && writes.resource.is_none_or(|written| written == resource))
    }

    /// Whether there is a machine for objects of the resource type.
    pub fn is_primary(&self, resource: ResourceType) -> bool {
        self.primary.is_none_or(|primary| primary == resource)
    }

    /// The field manager of what it writes, and by default the source of its Events.
    pub fn manager(&self) -> String {
        format!("{}-controller", self.name)
    }
}

/// A resource type that is watched, and whom a change of it wakes.
#[derive(Clone)]
pub struct Watch {
    /// The resource type; `None` watches every one (garbage collector, namespace).
    pub resource: Option<ResourceType>,
    /// Whom a change wakes.
    pub wakes: Mapping,
    /// Whether objects that are there at start wake as if they had changed.
    pub from_start: bool,
    /// Which changes of an object wake; `None` for all. One that appears or goes always does.
    pub heeds: Option<Heeds>,
}

impl Watch {
    /// A watch that every change wakes.
    pub fn of(resource: Option<ResourceType>, wakes: Mapping) -> Self {
        Self { resource, wakes, from_start: false, heeds: None }
    }
}

/// How a changed object is mapped to the primaries it wakes. Both the old and the new value are mapped.
#[derive(Clone)]
pub enum Mapping {
    /// The object is the primary.
    Itself,
    /// The primary is among its owners.
    Owner,
    /// Primaries in its namespace whose label selector, at this JSON pointer, matches it: `/spec/selector`. An object
    /// that somebody controls is not mapped: it concerns its controller.
    SelectedBy(&'static str),
    /// Objects that name the changed one as owner: dependents hear of their owner.
    Dependents,
    /// The primary in whose namespace the object lives: for the namespace operator.
    ItsNamespace,
    /// A function of the object and the snapshot after the change. It runs under `catch_unwind`: a panic disables the
    /// operator, not the sequencer.
    Function(MapFunction),
    /// Nobody: it may be read, and changes of it are heard through something else. The reason is for the reader.
    Nobody {
        /// Why nobody has to hear of it.
        because: &'static str,
    },
}

impl Mapping {
    /// A [`Function`](Self::Function).
    pub fn function(map: impl Fn(&Object, &Snapshot) -> Vec<ObjectKey> + Send + Sync + 'static) -> Self {
        Self::Function(Arc::new(map))
    }
}

/// Something an operator may do to the world beyond the store.
#[derive(Clone)]
pub struct Effect {
    /// Its name, such as `create-bucket`.
    pub name: &'static str,
    /// Does it.
    pub run: EffectFunction,
}

/// A permission to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// The resource type; `None` for every one (garbage collector, namespace).
    pub resource: Option<ResourceType>,
    /// What may be done.
    pub verb: WriteVerb,
}

/// What may be done to a resource type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WriteVerb {
    /// Create objects.
    Create,
    /// Change objects.
    Update,
    /// Change the status of objects.
    UpdateStatus,
    /// Delete objects.
    Delete,
}

impl WriteVerb {
    /// The verb as decisions and reports show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::UpdateStatus => "update status",
            Self::Delete => "delete",
        }
    }
}

/// What an operator's commits are guarded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarding {
    /// Everything the step read.
    EverythingRead,
    /// Everything the step read, but of what it found by an index only which objects those are: not what each looks like.
    ///
    /// Right for steps that create and delete members. A change of a member's content that happens between snapshot and
    /// commit is one that could as well have happened after the commit: the history is the same as if the step had come
    /// first. A member that enters, leaves or begins to be deleted does refuse the commit.
    Membership {
        /// Why what members look like cannot make the decision wrong.
        because: &'static str,
    },
    /// Only the reads the step marked as decisive, with the reason that is enough.
    Decisive {
        /// Why nothing else can make the decision wrong.
        because: &'static str,
    },
}
