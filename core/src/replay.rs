//! Decisions made again, on the cluster as it was when they were made, and what comes of it held against what is recorded.
//!
//! A decision keeps the revision it was made at and what it commanded; what the cluster was like at that revision is in the
//! log, as far back as that reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sampan_machine::{CommandRecord, Decision, UNOBSERVED};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gateway::TOKEN_VOLUME_PREFIX;
use crate::manifest::changes;
use crate::object::{Looks, Object, ObjectKey, Revision};
use crate::operator::{Driver, Rehearsed};
use crate::store::{BackendError, Put, Reader, Snapshot, WatchError, Write};

/// How many fields are named in which an object differs.
const FIELDS_MAX: usize = 3;
/// Metadata that every write gets anew.
const DRAWN: [&str; 3] = ["uid", "resourceVersion", "managedFields"];

/// A decision, and what came of making it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// As it is recorded.
    pub decision: Decision,
    /// As it is made now.
    pub again: Again,
}

/// What came of making a decision again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "came")]
pub enum Again {
    /// The same.
    Same,
    /// Something else.
    Otherwise {
        /// In what it differs.
        differences: Vec<String>,
    },
    /// It cannot be made again.
    Unknown {
        /// Why not.
        because: String,
    },
}

/// Makes the decisions about an object again, oldest first, up to the revision given. `operators` make them: a driver that
/// drives nothing else.
///
/// # Errors
/// When the disk fails.
pub fn replay(
    reader: &Reader,
    mut operators: Driver,
    key: &ObjectKey,
    to: Option<Revision>,
) -> Result<Vec<Replayed>, BackendError> {
    let mut decisions = reader.decisions(key)?;
    decisions.retain(|decision| to.is_none_or(|to| decision.snapshot <= to.0));
    let past = Past::read(reader, &decisions)?;
    let mut seen = BTreeSet::new();
    let mut replayed = Vec::new();
    for decision in decisions {
        let again = again(reader, &mut operators, key, &past, &decision, seen.insert(decision.operator.clone()));
        replayed.push(Replayed { decision, again });
    }
    Ok(replayed)
}

/// The cluster at each revision that is needed, as far as the log reaches back.
struct Past {
    at: BTreeMap<u64, Snapshot>,
    /// Into what of it nobody can look.
    looks: Looks,
}

impl Past {
    fn read(reader: &Reader, decisions: &[Decision]) -> Result<Self, BackendError> {
        let wanted: BTreeSet<u64> = decisions.iter().flat_map(|it| [it.snapshot, before(it)]).collect();
        let (mut rewind, mut at) = (reader.rewind(), BTreeMap::new());
        for revision in wanted.into_iter().rev() {
            match rewind.to(Revision(revision)) {
                Ok(snapshot) => drop(at.insert(revision, snapshot)),
                Err(WatchError::Compacted(_)) => break,
                Err(WatchError::Log(error)) => return Err(error),
            }
        }
        Ok(Self { at, looks: rewind.looks() })
    }
}

/// The revision before the first of the changes that woke a step.
fn before(decision: &Decision) -> u64 {
    let changes = decision.wake.iter().map(|reason| reason.revision).filter(|revision| *revision > 0);
    changes.min().map_or(decision.snapshot, |first| first - 1)
}

fn again(
    reader: &Reader,
    operators: &mut Driver,
    key: &ObjectKey,
    past: &Past,
    decision: &Decision,
    is_first: bool,
) -> Again {
    let operator = decision.operator.as_str();
    if operator.starts_with("node/") {
        return unknown("its node decided it, by what its containers were like");
    }
    let Some(snapshot) = past.at.get(&decision.snapshot) else {
        return unknown("the log no longer reaches back to what it was made on");
    };
    let looks = past.looks.count();
    match (decision.from == UNOBSERVED, past.at.get(&before(decision))) {
        (true, _) => operators.forget(operator, key),
        // A machine is in the state that what was there before led to.
        (false, Some(earlier)) if is_first => {
            let _ = operators.rehearse(operator, key, &decision.wake, earlier, decision.time);
        }
        (false, _) => {}
    }
    let rehearsed = operators.rehearse(operator, key, &decision.wake, snapshot, decision.time);
    if past.looks.count() > looks {
        return unknown("the log no longer holds all it looked at as it was");
    }
    match rehearsed {
        Rehearsed::Decided(write) => compare(reader, decision, &write),
        Rehearsed::Silent(state) => {
            verdict(of_state(decision, state).into_iter().chain(of_commands(&decision.commands, &[], &[])).collect())
        }
        Rehearsed::Unknown(because) => Again::Unknown { because },
    }
}

fn unknown(because: &str) -> Again {
    Again::Unknown { because: because.to_owned() }
}

fn verdict(differences: Vec<String>) -> Again {
    if differences.is_empty() { Again::Same } else { Again::Otherwise { differences } }
}

fn compare(reader: &Reader, decision: &Decision, write: &Write) -> Again {
    let Some(made) = &write.decision else { return unknown("it came without a decision") };
    let puts: Vec<Option<Object>> = write
        .changes
        .iter()
        .map(|change| match &change.put {
            Put::Object(draft) => Some((**draft).clone().at(Revision(0))),
            Put::Nothing => None,
        })
        .collect();
    let mut differences: Vec<String> = of_state(decision, &made.to).into_iter().collect();
    differences.extend(of_waiting(decision, made));
    differences.extend(of_commands(&decision.commands, &made.commands, &puts));
    differences.extend(of_contents(reader, &decision.commands, &made.commands, &puts));
    verdict(differences)
}

fn of_state(decision: &Decision, state: &str) -> Option<String> {
    (decision.to != state).then(|| format!("it is {state}, and was {}", decision.to))
}

fn of_waiting(decision: &Decision, made: &Decision) -> Vec<String> {
    let waits = |one: &Decision| -> BTreeSet<String> { one.unmet.iter().map(|it| it.guard.clone()).collect() };
    let (was, is) = (waits(decision), waits(made));
    let no_longer = was.difference(&is).map(|guard| format!("it waited for: {guard}"));
    no_longer.chain(is.difference(&was).map(|guard| format!("it waits for: {guard}"))).collect()
}

/// Events aside: how many are told depends on how many were told before.
fn lasting(commands: &[CommandRecord]) -> impl Iterator<Item = (usize, &CommandRecord)> {
    commands.iter().enumerate().filter(|(_, command)| command.verb != "event")
}

fn of_commands(recorded: &[CommandRecord], made: &[CommandRecord], puts: &[Option<Object>]) -> Vec<String> {
    let mut left: Vec<&CommandRecord> = lasting(recorded).map(|(_, command)| command).collect();
    let mut differences = Vec::new();
    for (index, command) in lasting(made) {
        match left.iter().position(|other| is_same(other, command, puts.get(index))) {
            Some(at) => drop(left.remove(at)),
            None => differences.push(format!("not commanded then: {} {}", command.verb, command.object)),
        }
    }
    differences.extend(left.into_iter().map(|it| format!("not commanded again: {} {}", it.verb, it.object)));
    differences
}

/// The same verb on the same object; of one whose name was drawn, on one with a name drawn alike.
fn is_same(recorded: &CommandRecord, made: &CommandRecord, put: Option<&Option<Object>>) -> bool {
    if recorded.verb != made.verb {
        return false;
    }
    let drawn = put.and_then(Option::as_ref).and_then(|object| {
        let prefix = object.value().pointer("/metadata/generateName")?.as_str()?.to_owned();
        Some((ObjectKey { name: "".into(), ..object.key().clone() }, prefix))
    });
    match (ObjectKey::parse(&recorded.object), drawn) {
        (Some(other), Some((place, prefix))) if made.verb == "create" => {
            other.name.starts_with(&prefix) && ObjectKey { name: "".into(), ..other } == place
        }
        _ => recorded.object == made.object,
    }
}

/// In what the objects written differ from those the log holds.
fn of_contents(
    reader: &Reader,
    recorded: &[CommandRecord],
    made: &[CommandRecord],
    puts: &[Option<Object>],
) -> Vec<String> {
    let mut left: Vec<&CommandRecord> = lasting(recorded).map(|(_, command)| command).collect();
    let mut differences = Vec::new();
    for (index, command) in lasting(made).filter(|(_, command)| command.verb != "delete") {
        let Some(Some(put)) = puts.get(index) else { continue };
        let same = left.iter().position(|other| is_same(other, command, puts.get(index)));
        let Some(recorded) = same.map(|at| left.remove(at)) else { continue };
        let Some(was) = written_at(reader, recorded) else { continue };
        let (was, is) = (comparable(&was), comparable(put));
        let fields = changes(&was, &is).into_iter().take(FIELDS_MAX);
        let shown = |value: Option<Value>| value.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
        differences.extend(fields.map(|it| {
            format!("{}: {} is {}, and was {}", recorded.object, it.field, shown(it.after), shown(it.before))
        }));
    }
    differences
}

/// The object a command led to, if the log still holds it.
fn written_at(reader: &Reader, command: &CommandRecord) -> Option<Arc<Object>> {
    let revision = command.revision?;
    let batch = reader.all_events_after(Revision(revision.checked_sub(1)?), 1).ok()?;
    let event = batch.events.first().filter(|event| event.revision.0 == revision)?;
    Some(event.change.object().clone())
}

fn comparable(object: &Object) -> Value {
    let mut value = object.value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        if metadata.contains_key("generateName") {
            metadata.remove("name");
        }
        DRAWN.iter().for_each(|field| drop(metadata.remove(*field)));
    }
    undraw(&mut value);
    value
}

/// The volume every pod gets for its token has a name that is drawn.
fn undraw(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with(TOKEN_VOLUME_PREFIX) => TOKEN_VOLUME_PREFIX.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(undraw),
        Value::Object(fields) => fields.values_mut().for_each(undraw),
        _ => {}
    }
}
