//! Steps whose commits are under way.

use jiff::Timestamp;
use sampan_machine::Decision;

use super::queue::{Pending, Slot};
use super::recorder::Said;
use super::{Command, Refused, WriteVerb};
use crate::gateway::refusal_status;
use crate::object::{ObjectKey, ResourceType, Revision};
use crate::status::Status;
use crate::store::{ReadKey, Refusal, Write};

/// A step whose commit is under way.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) slot: Slot,
    pub(super) taken: Pending,
    /// What the commit rests on: held still where others contradict it again and again.
    pub(super) rests_on: Vec<ReadKey>,
    pub(super) after: After,
}

/// What becomes true once a step is settled.
#[derive(Clone)]
pub(super) struct After {
    pub(super) snapshot: Revision,
    pub(super) decision: Option<Decision>,
    pub(super) wake_at: Option<Timestamp>,
    pub(super) left_over: bool,
    pub(super) refused: bool,
    pub(super) gone: bool,
    pub(super) said: Said,
    pub(super) asked: Asked,
}

impl After {
    /// After a step that came to nothing but a decision.
    pub(super) fn decided(snapshot: Revision, decision: Decision) -> Self {
        Self {
            snapshot,
            decision: Some(decision),
            wake_at: None,
            left_over: false,
            refused: false,
            gone: false,
            said: Said::default(),
            asked: Asked::default(),
        }
    }
}

/// What a command does to what, as a declaration permits it.
pub(super) type Permission = Option<(WriteVerb, ResourceType)>;

/// What a step asked for, so that a refusal at commit can be told as one of its commands.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    commands: Vec<Permission>,
    /// The object of each change, and the command it comes from.
    changes: Vec<(ObjectKey, usize)>,
}

impl Asked {
    /// What commands ask for by a write whose changes come from these of them.
    pub(super) fn new(commands: &[Command], write: &Write, sources: &[usize]) -> Self {
        let objects = write.changes.iter().map(|change| change.key.clone());
        Self {
            commands: commands.iter().map(Command::permission).collect(),
            changes: objects.zip(sources.iter().copied()).collect(),
        }
    }

    /// The command a refused change comes from, as refused; `None` where it comes from none.
    pub(super) fn refused_at(&self, change: usize, refusal: &Refusal) -> Option<Refused> {
        let (object, command) = self.changes.get(change)?;
        refused(&self.commands, *command, refusal_status(refusal, object))
    }
}

/// One of the commands, as refused; `None` for one that needs no permission.
pub(super) fn refused(commands: &[Permission], index: usize, status: Status) -> Option<Refused> {
    let (verb, resource) = commands.get(index).copied().flatten()?;
    let accepted_before = commands.iter().take(index).filter(|it| **it == Some((verb, resource))).count();
    Some(Refused { accepted_before, resource, verb, status })
}
