//! Effects: what an operator does to the world beyond the store.
//!
//! A step stays pure: it says what is to be done, and that is committed with its other commands as an Effect object, the
//! outbox. The driver hands it out to be run, and writes what came of it; that wakes the primary, whose next step reads it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::progress::Ticket;
use crate::object::{Object, ObjectKey, Uid};
use crate::resource::EFFECTS;
use crate::vital::panic_text;

/// Keeps the record of an effect that is not done, whatever becomes of its primary: what was committed is run.
pub const UNFINISHED_EFFECT: &str = "sampan.dev/unfinished";
const PENDING: &str = "Pending";
const DONE: &str = "Done";
/// The most characters of what a run tells: a line for people.
const PROGRESS_MAX: usize = 200;
/// The longest name of a record's primary that its own name repeats: with a hash of 16 digits it stays a name.
const NAME_MAX: usize = 200;

/// How far a run tells it has come: the latest word is kept, of its first characters.
pub type Telling<'t> = &'t dyn Fn(String);

/// Does something to the world. It may block; it must end, and be harmless when it is run again with the same key.
pub type EffectFunction = Arc<dyn Fn(&EffectRequest, Telling<'_>) -> Result<Value, String> + Send + Sync>;

/// What an effect is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRequest {
    /// The operator.
    pub operator: &'static str,
    /// The effect, as declared.
    pub name: &'static str,
    /// The record it is kept in: its name and namespace tell this effect from every other, for ever.
    pub record: ObjectKey,
    /// The primary that asks for it.
    pub primary: String,
    /// What tells the primary from others of its name.
    pub primary_uid: String,
    /// What makes it the same when it is run again: it is run at least once for each key of a primary.
    pub key: String,
    /// What the step gave.
    pub input: Value,
    /// How often it was tried before.
    pub tries: u32,
}

/// How an effect stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectState {
    /// It is committed with this step.
    Asked,
    /// It is not done yet.
    Pending {
        /// How often it was tried.
        tries: u32,
        /// What the last try failed with.
        error: Option<String>,
        /// How far the run says it has come.
        progress: Option<String>,
    },
    /// It is done, with what it gave.
    Done(Value),
}

/// An effect that is to be run, and its outcome told by [`Loop::effect_done`](super::Loop::effect_done).
pub struct EffectRun {
    /// To tell the outcome by.
    pub ticket: Ticket,
    /// What is to be done.
    pub request: EffectRequest,
    pub(super) function: EffectFunction,
}

impl EffectRun {
    /// Does it, with nobody to hear how far it has come.
    ///
    /// # Errors
    /// What it failed with, or what it panicked with. It is tried again.
    pub fn perform(&self) -> Result<Value, String> {
        self.perform_telling(&|_| ())
    }

    /// Does it, and tells how far it has come: what is told is for [`Loop::effect_tells`](super::Loop::effect_tells).
    ///
    /// # Errors
    /// As [`perform`](Self::perform).
    pub fn perform_telling(&self, tell: Telling<'_>) -> Result<Value, String> {
        catch_unwind(AssertUnwindSafe(|| (self.function)(&self.request, tell)))
            .unwrap_or_else(|payload| Err(format!("it panicked: {}", panic_text(&*payload))))
    }
}

impl std::fmt::Debug for EffectRun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?} {:?}", self.ticket, self.request)
    }
}

/// Where the record of an effect is kept. Records of what lives in no namespace are kept where their Events are.
pub(super) fn record_key(operator: &str, primary: &ObjectKey, uid: &Uid, name: &str, key: &str) -> ObjectKey {
    let hash = hash([operator, &primary.to_string(), uid.as_str(), name, key]);
    let prefix: String = primary.name.chars().take(NAME_MAX).collect();
    let namespace = primary.namespace.as_deref().unwrap_or("default");
    ObjectKey::namespaced(EFFECTS, namespace, &format!("{prefix}.{hash}"))
}

/// What ends a record's name: it stands for all that tells one effect from another.
fn hash(parts: [&str; 5]) -> String {
    format!("{:016x}", fnv(parts.iter().flat_map(|part| part.bytes().chain([0]))))
}

/// FNV-1a with 64 bits: the same for ever, as names on disk must be.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The record of an effect that was just asked for, by the object that owns it.
pub(super) fn record(
    at: &ObjectKey,
    (primary, uid, owner): (&ObjectKey, &Uid, Value),
    operator: &str,
    (name, key, input): (&str, &str, &Value),
) -> Value {
    json!({
        "apiVersion": "sampan.dev/v1", "kind": "Effect",
        "metadata": {"name": &*at.name, "namespace": at.namespace.as_deref(), "ownerReferences": [owner],
            "finalizers": [UNFINISHED_EFFECT]},
        "spec": {"operator": operator, "effect": name, "key": key, "input": input, "primary": primary.to_string(),
            "primaryUid": uid.as_str()},
        "status": {"phase": PENDING, "tries": 0},
    })
}

/// A record after a try.
pub(super) fn after_try(record: &Object, outcome: &Result<Value, String>) -> Value {
    let mut value = record.value();
    let tries = tries(record) + 1;
    let Some(fields) = value.as_object_mut() else { return value };
    fields.insert(
        "status".into(),
        match outcome {
            Ok(result) => json!({"phase": DONE, "tries": tries, "result": result}),
            Err(error) => json!({"phase": PENDING, "tries": tries, "error": error}),
        },
    );
    if outcome.is_ok()
        && let Some(finalizers) = value.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut)
    {
        finalizers.retain(|finalizer| finalizer != UNFINISHED_EFFECT);
    }
    value
}

/// A record of which a run tells how far it has come.
pub(super) fn after_word(record: &Object, progress: &str) -> Value {
    let mut value = record.value();
    if let Some(status) = value.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("progress".to_owned(), progress.chars().take(PROGRESS_MAX).collect::<String>().into());
    }
    value
}

/// How the effect of a record stands.
pub(crate) fn state(record: &Object) -> EffectState {
    let value = record.value();
    let status = |field: &str| value.get("status").and_then(|status| status.get(field));
    if status("phase").and_then(Value::as_str) == Some(DONE) {
        return EffectState::Done(status("result").cloned().unwrap_or_default());
    }
    let told = |field| status(field).and_then(Value::as_str).map(str::to_owned);
    EffectState::Pending { tries: tries(record), error: told("error"), progress: told("progress") }
}

/// What a record asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Asked {
    pub(crate) operator: String,
    pub(crate) effect: String,
    pub(crate) key: String,
    pub(crate) input: Value,
    pub(crate) primary: String,
    pub(crate) primary_uid: String,
}

/// What a record asks for: nothing, where it is none.
pub(crate) fn asked(record: &Object) -> Asked {
    record.value().get("spec").and_then(|spec| Asked::deserialize(spec).ok()).unwrap_or_default()
}

/// Whether a record waits to be run and is kept where an operator keeps what it says. One that somebody else wrote is
/// refused by admission; should one be there all the same, nothing is done for it.
pub(super) fn is_runnable(record: &Object) -> bool {
    let value = record.value();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let parts = ["operator", "primary", "primaryUid", "effect", "key"].map(|field| text(&format!("/spec/{field}")));
    let kept_at = record.key().name.rsplit_once('.').map(|(_, hash)| hash);
    text("/status/phase") == PENDING && kept_at == Some(hash(parts).as_str())
}

pub(super) fn tries(record: &Object) -> u32 {
    let tries = record.value().pointer("/status/tries").and_then(Value::as_u64).unwrap_or_default();
    u32::try_from(tries).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Draft, Revision};
    use crate::resource::PODS;

    #[test]
    fn a_record_that_is_not_where_what_it_says_belongs_is_not_run() {
        let (primary, uid) = (ObjectKey::namespaced(PODS, "default", "web.one"), Uid("u".into()));
        let at = record_key("buckets", &primary, &uid, "create", "a");
        let genuine = record(&at, (&primary, &uid, json!({})), "buckets", ("create", "a", &json!(1)));
        let check = |pointer: &str, value: &str, expect: bool| {
            let mut record = genuine.clone();
            *record.pointer_mut(pointer).unwrap() = value.into();
            record["metadata"]["uid"] = "r".into();
            record["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
            record["metadata"]["ownerReferences"] = json!([]);
            let object = Draft::new(at.clone(), record, Vec::new()).unwrap().at(Revision(1));
            assert_eq!(is_runnable(&object), expect, "{pointer} {value:?}");
        };
        check("/status/phase", PENDING, true);
        check("/status/phase", DONE, false);
        check("/status/phase", "", false);
        for field in ["operator", "effect", "key", "primary", "primaryUid"] {
            check(&format!("/spec/{field}"), "other", false);
        }
    }
}
