//! Decisions in words, for `sampan why` and `sampan history`.

use jiff::Timestamp;
use sampan_machine::{CommandRecord, Decision, Unmet};

/// The states a decision went through.
pub(super) fn moved(decision: &Decision) -> String {
    if decision.from == decision.to { decision.to.clone() } else { format!("{} → {}", decision.from, decision.to) }
}

/// What was done, with the revision it became.
pub(super) fn commanded(command: &CommandRecord) -> String {
    let at = command.revision.map(|revision| format!(" (revision {revision})")).unwrap_or_default();
    let detail = if command.detail.is_empty() { String::new() } else { format!(": {}", command.detail) };
    format!("{} {}{at}{detail}", command.verb, command.object)
}

/// What is waited for, with its values and the time left.
pub(super) fn unmet(unmet: &Unmet, now: Timestamp) -> String {
    let seconds = unmet.until.map(|until| until.duration_since(now).as_secs()).filter(|seconds| *seconds > 0);
    let until = seconds.map(|seconds| format!(", in {seconds} s")).unwrap_or_default();
    format!("{}: {}{until}", unmet.guard, unmet.detail)
}
