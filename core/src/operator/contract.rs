//! What an operator is.

use std::sync::Arc;

use sampan_machine::{Machine, WakeReason};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::object::{Object, ObjectKey, ResourceType};
use crate::store::Snapshot;

/// A Rust type that is stored under a resource type: what operators read and write.
pub trait Kind: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Where it is stored.
    const RESOURCE: ResourceType;
    /// Its `apiVersion`.
    const API_VERSION: &'static str;
    /// Its `kind`.
    const KIND: &'static str;
}

/// A resource type's operator.
///
/// # Guarantees
/// The runtime gives every step one snapshot of all it reads, commits its commands all or none, and only if nothing it
/// read has changed since. Steps of one key never run side by side.
///
/// # Caveats
/// A step is pure: no I/O, no clock but the context's, no randomness but the context's.
pub trait Operator: Send + Sync + 'static {
    /// The machine, one per primary object.
    type Machine: Machine;

    /// What the operator watches, owns and writes. The runtime refuses writes that are not declared.
    fn declaration(&self) -> Declaration;

    /// One step: observe the snapshot, move the machine, issue commands.
    fn step(&self, machine: &mut Self::Machine, wake: &Wake, cx: &mut super::Context<'_>);
}

/// What an operator watches, owns and writes.
#[derive(Clone)]
pub struct Declaration {
    /// The operator's name, such as `replicaset`. Field manager and event source are `<name>-controller`.
    pub name: &'static str,
    /// The resource type there is a machine for each object of.
    pub primary: ResourceType,
    /// What wakes it.
    pub watches: Vec<Watch>,
    /// What it may write.
    pub writes: Vec<Writes>,
    /// What its commits are guarded by.
    pub guarding: Guarding,
}

/// A resource type that is watched, and whom a change of it wakes.
#[derive(Clone)]
pub struct Watch {
    /// The resource type; `None` watches every one (garbage collector, namespace).
    pub resource: Option<ResourceType>,
    /// Whom a change wakes.
    pub wakes: Mapping,
}

/// How a changed object is mapped to the primaries it wakes. Both the old and the new value are mapped.
#[derive(Clone)]
pub enum Mapping {
    /// The object is the primary.
    Itself,
    /// The primary is among its owners.
    Owner,
    /// Primaries in its namespace whose label selector, at this JSON pointer, matches it: `/spec/selector`.
    SelectedBy(&'static str),
    /// Objects that name the changed one as owner: dependents hear of their owner.
    Dependents,
    /// The primary in whose namespace the object lives: for the namespace operator.
    ItsNamespace,
    /// A function of the object and the snapshot after the change. It runs under `catch_unwind`: a panic disables the
    /// operator, not the sequencer.
    Function(fn(&Object, &Snapshot) -> Vec<ObjectKey>),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What an operator's commits are guarded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarding {
    /// Everything the step read.
    EverythingRead,
    /// Only the reads the step marked as decisive, with the reason that is enough.
    Decisive {
        /// Why nothing else can make the decision wrong.
        because: &'static str,
    },
}

/// Why a step runs.
#[derive(Debug, Clone)]
pub struct Wake {
    /// The primary's key.
    pub key: ObjectKey,
    /// Every change merged into this wake-up, bounded; never an object.
    pub reasons: Vec<WakeReason>,
    /// What the gateway answered to the commands of the step before, if it refused one of them.
    pub refusal: Option<Arc<Refused>>,
}

/// A command the gateway refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its place among the step's commands.
    pub command: usize,
    /// The answer.
    pub status: crate::status::Status,
}
