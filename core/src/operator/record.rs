//! How steps are put into decisions.

use jiff::Timestamp;
use sampan_machine::{CommandRecord, Decision, ReadRecord, Unmet};

use super::queue::Pending;
use super::seat::Stepped;
use crate::object::{ObjectKey, Revision};
use crate::store::{IndexKey, Origin, ReadKey, Write};

/// The cause of the wake-up every primary gets at start.
pub(super) const START: &str = "start";
/// The cause of a wake-up a step asked for.
pub(super) const TIMER: &str = "timer";
/// The cause of a wake-up after a failure or a refusal.
pub(super) const RETRY: &str = "retry";
/// The cause of a wake-up for commands that were left over.
pub(super) const CONTINUED: &str = "continued";
/// The most reads listed in a decision; the snapshot's revision tells the rest.
const READS_MAX: usize = 32;

/// What a step came to.
pub(super) fn decision(
    operator: &str,
    key: &ObjectKey,
    taken: &Pending,
    stepped: &Stepped,
    commands: Vec<CommandRecord>,
    snapshot: Revision,
    now: Timestamp,
) -> Decision {
    let trace = &stepped.out.trace;
    Decision {
        operator: operator.to_owned(),
        object: key.to_string(),
        time: now,
        wake: taken.reasons.clone(),
        snapshot: snapshot.0,
        from: stepped.from.to_owned(),
        to: stepped.to.to_owned(),
        guards: trace.crossings().iter().map(|crossing| crossing.guard.to_owned()).collect(),
        unmet: trace.unmet().to_vec(),
        commands,
        reads: stepped.out.reads.iter().take(READS_MAX).map(|read| read_record(read, snapshot)).collect(),
    }
}

/// A step that is void: nothing moves until something changes.
pub(super) fn void(
    operator: &str,
    key: &ObjectKey,
    taken: &Pending,
    state: &str,
    fault: &str,
    snapshot: Revision,
    now: Timestamp,
) -> Decision {
    Decision {
        operator: operator.to_owned(),
        object: key.to_string(),
        time: now,
        wake: taken.reasons.clone(),
        snapshot: snapshot.0,
        from: state.to_owned(),
        to: state.to_owned(),
        guards: Vec::new(),
        unmet: vec![Unmet { guard: "the step is sound".to_owned(), detail: fault.to_owned(), until: None }],
        commands: Vec::new(),
        reads: Vec::new(),
    }
}

/// A write that holds a decision and nothing else.
pub(super) fn alone(decision: Decision) -> Write {
    let origin = Origin::Decision {
        operator: decision.operator.clone(),
        object: decision.object.clone(),
        snapshot: decision.snapshot,
    };
    Write { origin, changes: Vec::new(), guard: None, decision: Some(decision) }
}

/// Whether nothing but the start woke a step.
pub(super) fn only_started(taken: &Pending) -> bool {
    taken.reasons.iter().all(|reason| reason.cause == START)
}

fn read_record(read: &ReadKey, snapshot: Revision) -> ReadRecord {
    ReadRecord { object: read_text(read), revision: snapshot.0 }
}

/// What was read, as text: a key, or a collection with what it was narrowed by.
fn read_text(read: &ReadKey) -> String {
    match read {
        ReadKey::Object(key) => key.to_string(),
        ReadKey::Collection(resource, namespace) => format!("{resource}/{}/", namespace.as_deref().unwrap_or("*")),
        ReadKey::Members(index) => format!("{} (which of them)", read_text(&ReadKey::Index(index.clone()))),
        ReadKey::Placed(index) => format!("{} (where they stand)", read_text(&ReadKey::Index(index.clone()))),
        ReadKey::Taken(resource, of) => format!("{resource} (what they take of {of})"),
        ReadKey::Index(IndexKey::Owner(uid)) => format!("*?owner={uid}"),
        ReadKey::Index(IndexKey::Label { resource, namespace, label, value }) => {
            format!("{resource}/{}/?{label}={value}", namespace.as_deref().unwrap_or("*"))
        }
        ReadKey::Index(IndexKey::Field { resource, field, value }) => format!("{resource}/*/?{field}={value}"),
    }
}
