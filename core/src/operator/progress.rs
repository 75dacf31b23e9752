//! What the driver answers.

use std::fmt;

use sampan_machine::{Crossing, Unmet};

use super::EffectRun;
use crate::gateway::Call;
use crate::object::{ObjectKey, ResourceType};
use crate::store::{ReadKey, Write};
use crate::why::Waiting;

/// Names a commit that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What one call of [`Driver::poll`](super::Driver::poll) came to.
#[derive(Debug)]
pub enum Progress {
    /// Nothing is to be done before something changes or [`Driver::next_deadline`](super::Driver::next_deadline) passes.
    Idle,
    /// A step ran and nothing is to be committed.
    Stepped,
    /// A step's commands are to be committed, and the outcome told by [`Driver::settled`](super::Driver::settled).
    Commit(Box<StepCommit>),
    /// An effect is to be run beside the driver, and its outcome told by
    /// [`Driver::effect_done`](super::Driver::effect_done).
    Effect(Box<EffectRun>),
    /// Webhooks are to be asked beside the driver before a step's commands are prepared, and their replies told by
    /// [`Driver::replied`](super::Driver::replied).
    Ask(Box<StepQuestions>),
    /// The next step met conflicts again and again: poll again with a snapshot taken while these reads are held still.
    Reserve(Vec<ReadKey>),
}

/// What a step's commands rest on that webhooks say.
#[derive(Debug)]
pub struct StepQuestions {
    /// The operator.
    pub operator: &'static str,
    /// The primary.
    pub key: ObjectKey,
    /// The questions.
    pub calls: Vec<Call>,
}

/// A step's commands.
#[derive(Debug)]
pub struct StepCommit {
    /// To tell the outcome by.
    pub ticket: Ticket,
    /// The operator.
    pub operator: &'static str,
    /// The primary.
    pub key: ObjectKey,
    /// For the sequencer.
    pub write: Write,
}

/// An operator that panicked. It is not stepped again before a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// The operator.
    pub operator: &'static str,
    /// Whose objects are not looked at any more; `None` are those of every kind.
    pub of: Option<ResourceType>,
    /// The primary it stepped, or the changed object it mapped.
    pub object: ObjectKey,
    /// What the panic said.
    pub reason: String,
}

/// What objects wait for whose operator has panicked.
pub(crate) const RUNS: &str = "the operator runs";

impl Disabled {
    /// What objects wait for of its kind.
    pub(super) fn unmet(&self) -> Unmet {
        Unmet { guard: RUNS.to_owned(), detail: format!("it is not stepped before a restart: {self}"), until: None }
    }

    /// What an object waits for, where it is one of those not looked at any more.
    pub fn keeps_waiting(&self, key: &ObjectKey) -> Option<Waiting> {
        self.of.is_none_or(|resource| resource == key.resource).then(|| Waiting {
            object: key.to_string(),
            operator: self.operator.to_owned(),
            state: "Disabled".to_owned(),
            unmet: vec![self.unmet()],
        })
    }
}

impl fmt::Display for Disabled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} panicked on {}: {}", self.operator, self.object, self.reason)
    }
}

/// Counts of what an operator has done since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Steps run.
    pub steps: u64,
    /// Commits acknowledged.
    pub commits: u64,
    /// Commits refused because something had changed.
    pub conflicts: u64,
    /// Commands the gateway refused.
    pub refusals: u64,
}

/// What the last step did, whether or not it led to a commit.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// The operator.
    pub operator: &'static str,
    /// The primary.
    pub key: ObjectKey,
    /// The transitions taken.
    pub crossings: Vec<Crossing>,
    /// What made the step void.
    pub fault: Option<String>,
}
