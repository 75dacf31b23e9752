//! What a step may look at, and where it puts its commands.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sampan_machine::Trace;
use serde_json::Value;

use super::{Kind, Refused};
use crate::entropy::Entropy;
use crate::gateway::DeleteOptions;
use crate::object::selector::Selector;
use crate::object::{ObjectKey, ResourceType};
use crate::store::{ReadKey, Snapshot};

/// What an operator wants done.
#[derive(Debug, Clone)]
pub enum Command {
    /// Create an object; its name may be left to `generateName`.
    Create {
        /// The resource type.
        resource: ResourceType,
        /// The object.
        object: Value,
    },
    /// Replace an object by what was made of the one read.
    Update {
        /// The object.
        key: ObjectKey,
        /// As it should be.
        object: Value,
    },
    /// Replace an object's status.
    UpdateStatus {
        /// The object.
        key: ObjectKey,
        /// The object with its status as it should be.
        object: Value,
    },
    /// Delete an object.
    Delete {
        /// The object.
        key: ObjectKey,
        /// How; its uid is always a precondition.
        options: DeleteOptions,
    },
    /// Tell users what happened. Repetitions are merged into one Event with a count.
    Event {
        /// What it is about.
        regarding: ObjectKey,
        /// `Normal` or `Warning`.
        kind: EventKind,
        /// Such as `SuccessfulCreate`.
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// The two kinds of Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody may have to look.
    Warning,
}

/// What a step may look at, and where it puts its commands. Every read is recorded: it guards the commit.
pub struct Context<'a> {
    snapshot: &'a Snapshot,
    key: &'a ObjectKey,
    now: Timestamp,
    entropy: &'a mut dyn Entropy,
    refusal: Option<Arc<Refused>>,
    reads: Vec<ReadKey>,
    commands: Vec<Command>,
    wake_after: Option<Duration>,
    trace: Trace,
}

impl Context<'_> {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.now
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

    /// The primary, unless it is gone. An object that does not decode is reported and taken as gone.
    pub fn primary<K: Kind>(&mut self) -> Option<Arc<K>> {
        self.get(&self.key.clone())
    }

    /// One object.
    pub fn get<K: Kind>(&mut self, _key: &ObjectKey) -> Option<Arc<K>> {
        unimplemented!()
    }

    /// All objects of a kind, in one namespace or everywhere.
    pub fn list<K: Kind>(&mut self, _namespace: Option<&str>) -> Vec<Arc<K>> {
        unimplemented!()
    }

    /// The objects of a kind that name the primary among their owners.
    pub fn owned<K: Kind>(&mut self) -> Vec<Arc<K>> {
        unimplemented!()
    }

    /// The objects of a kind in a namespace that a selector matches.
    pub fn matching<K: Kind>(&mut self, _namespace: &str, _selector: &Selector) -> Vec<Arc<K>> {
        unimplemented!()
    }

    /// The objects of a kind with this value in a selectable field, such as `spec.nodeName`.
    pub fn with_field<K: Kind>(&mut self, _field: &'static str, _value: &str) -> Vec<Arc<K>> {
        unimplemented!()
    }

    /// Reads without guarding: for operators that declare what is decisive. The snapshot's other reads stay possible.
    pub fn unguarded(&self) -> &Snapshot {
        self.snapshot
    }

    /// Marks something read through [`unguarded`](Self::unguarded) as decisive.
    pub fn rests_on(&mut self, read: ReadKey) {
        self.reads.push(read);
    }

    /// Creates an object.
    pub fn create<K: Kind>(&mut self, _object: &K) {
        unimplemented!()
    }

    /// Replaces an object that was read.
    pub fn update<K: Kind>(&mut self, _object: &K) {
        unimplemented!()
    }

    /// Replaces the status of an object that was read. Equal to what is stored, it is no command.
    pub fn update_status<K: Kind>(&mut self, _object: &K) {
        unimplemented!()
    }

    /// Deletes an object that was read: this one, never another of its name.
    pub fn delete<K: Kind>(&mut self, _object: &K, _options: DeleteOptions) {
        unimplemented!()
    }

    /// Issues a command on an object of any kind.
    pub fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// Tells users about the primary.
    pub fn event(&mut self, kind: EventKind, reason: &'static str, message: impl Into<String>) {
        let regarding = self.key.clone();
        self.command(Command::Event { regarding, kind, reason, message: message.into() });
    }

    /// Wakes the primary after a time even if nothing changes; the earliest of several counts.
    pub fn wake_after(&mut self, delay: Duration) {
        self.wake_after = Some(self.wake_after.map_or(delay, |earlier| earlier.min(delay)));
    }

    /// Where the step records edges crossed and guards unmet.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }
}
