//! The record of a step that changed something.

use serde::{Deserialize, Serialize};

use crate::Unmet;

/// Why a key was woken: one change merged into the wake-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeReason {
    /// What changed, as `resource.group/namespace/name`, or `timer`, `start`, `retry`.
    pub cause: String,
    /// The revision of the change; 0 where the cause is no change.
    #[serde(default)]
    pub revision: u64,
}

/// An object a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRecord {
    /// The object as `resource.group/namespace/name`.
    pub object: String,
    /// The revision that was read.
    pub revision: u64,
}

/// A command a step issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// `create`, `update`, `update status`, `delete`, `event`, `effect`, or what a runtime does: `start container`.
    pub verb: String,
    /// What it was done to, as `resource.group/namespace/name` or a container's name.
    pub object: String,
    /// The revision it became, where it became one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What a reader wants to know beside: the field changed, the error met.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What is kept of a step whose state, commands or unmet guards differ from the step before.
///
/// `sampan why` answers from decisions alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The operator, or `node/<name>` for a pod machine.
    pub operator: String,
    /// The object decided on, as `resource.group/namespace/name`.
    pub object: String,
    /// When, RFC 3339 in UTC.
    pub time: jiff::Timestamp,
    /// What woke the step.
    pub wake: Vec<WakeReason>,
    /// The snapshot's revision.
    pub snapshot: u64,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// The guards of the edges crossed, in order.
    pub guards: Vec<String>,
    /// What the object waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<Unmet>,
    /// The commands issued, with the revisions they became.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandRecord>,
    /// Keys and revisions of what was read: enough to decide the same again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<ReadRecord>,
}

impl Decision {
    /// Whether this says the same as `earlier`: same state, no commands, same waiting. Such a step is not kept.
    pub fn repeats(&self, earlier: &Decision) -> bool {
        let waiting = |decision: &Decision| -> Vec<(String, String)> {
            decision.unmet.iter().map(|unmet| (unmet.guard.clone(), unmet.detail.clone())).collect()
        };
        self.commands.is_empty() && self.to == earlier.to && waiting(self) == waiting(earlier)
    }
}
