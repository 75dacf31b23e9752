//! Events: what happened, for people. Repetitions are merged, floods are cut.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::{Command, EventKind};
use crate::entropy::Entropy;
use crate::object::{Object, ObjectKey, ResourceType};
use crate::resource::Registry;
use crate::store::Snapshot;

/// Where Events are stored.
pub(super) const EVENTS: ResourceType = ResourceType::new("", "events");
/// How many Events of one source about one object may come at once, as Kubernetes' spam filter has it.
const BURST: f64 = 25.0;
/// How many Events per second refill the burst: one in five minutes.
const REFILL_PER_SECOND: f64 = 1.0 / 300.0;
/// The most series and the most budgets remembered; past it all are forgotten, which costs an Event too many.
const REMEMBERED_MAX: usize = 4096;

/// What makes two Events the same, said again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    regarding: ObjectKey,
    uid: String,
    kind: EventKind,
    reason: Cow<'static, str>,
    message: String,
}

/// How much one source may still say about one object.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left: f64,
    at: Timestamp,
}

/// What is to be written for an Event.
#[derive(Debug)]
pub(super) enum Recording {
    /// Said for the first time.
    New(Value),
    /// Said again.
    Again(ObjectKey, Value),
}

/// What a step's Events are called and cost. It counts once they are committed: a step that is refused has said nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    named: BTreeMap<Series, ObjectKey>,
    budgets: BTreeMap<ObjectKey, Budget>,
}

/// One operator's Events.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    source: String,
    named: BTreeMap<Series, ObjectKey>,
    budgets: BTreeMap<ObjectKey, Budget>,
}

impl Recorder {
    pub(super) fn new(source: String) -> Self {
        Self { source, named: BTreeMap::new(), budgets: BTreeMap::new() }
    }

    /// What to write for the Events among a step's commands: fewer than were said, where they repeat or flood.
    pub(super) fn record(
        &self,
        commands: &[Command],
        snapshot: &Snapshot,
        registry: &Registry,
        now: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> (Vec<Recording>, Said) {
        let mut recordings = Vec::new();
        let mut said = Said::default();
        for (series, times) in counted(commands, snapshot) {
            if let Some(recording) = self.again(&series, times, snapshot, now) {
                recordings.push(recording);
            } else if self.may_say(&series.regarding, now, &mut said) {
                recordings.extend(self.first(series, times, snapshot, registry, now, entropy, &mut said));
            }
        }
        (recordings, said)
    }

    /// Takes what was said into account: it is committed.
    pub(super) fn keep(&mut self, said: Said) {
        if self.named.len() + said.named.len() > REMEMBERED_MAX {
            self.named.clear();
        }
        if self.budgets.len() + said.budgets.len() > REMEMBERED_MAX {
            self.budgets.clear();
        }
        self.named.extend(said.named);
        self.budgets.extend(said.budgets);
    }

    fn again(&self, series: &Series, times: i64, snapshot: &Snapshot, now: Timestamp) -> Option<Recording> {
        let key = self.named.get(series)?;
        let mut event = snapshot.get(key)?.value();
        let count = event.get("count").and_then(Value::as_i64).unwrap_or(1) + times;
        let fields = event.as_object_mut()?;
        fields.insert("count".into(), count.into());
        fields.insert("lastTimestamp".into(), seconds(now).into());
        Some(Recording::Again(key.clone(), event))
    }

    #[expect(clippy::too_many_arguments, reason = "where it is said, and where that is noted")]
    fn first(
        &self,
        series: Series,
        times: i64,
        snapshot: &Snapshot,
        registry: &Registry,
        now: Timestamp,
        entropy: &mut dyn Entropy,
        said: &mut Said,
    ) -> Option<Recording> {
        let regarding = snapshot.get(&series.regarding)?;
        let involved = reference(regarding, registry)?;
        let name = format!("{}.{:016x}", series.regarding.name, entropy.next_u64());
        let namespace = series.regarding.namespace.as_deref().unwrap_or("default").to_owned();
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved, "type": series.kind.name(),
            "reason": series.reason, "message": series.message, "count": times,
            "firstTimestamp": seconds(now), "lastTimestamp": seconds(now), "eventTime": null,
            "source": {"component": self.source},
            "reportingComponent": self.source, "reportingInstance": "",
        });
        said.named.insert(series, ObjectKey::namespaced(EVENTS, &namespace, &name));
        Some(Recording::New(event))
    }

    fn may_say(&self, regarding: &ObjectKey, now: Timestamp, said: &mut Said) -> bool {
        let known = self.budgets.get(regarding).copied().unwrap_or(Budget { left: BURST, at: now });
        let budget = said.budgets.entry(regarding.clone()).or_insert(known);
        let passed = now.duration_since(budget.at).as_secs_f64().max(0.0);
        budget.left = (budget.left + passed * REFILL_PER_SECOND).min(BURST);
        budget.at = now;
        if budget.left < 1.0 {
            return false;
        }
        budget.left -= 1.0;
        true
    }
}

/// The Events among commands, in the order first said, each with how often.
fn counted(commands: &[Command], snapshot: &Snapshot) -> Vec<(Series, i64)> {
    let mut said: BTreeMap<Series, (usize, i64)> = BTreeMap::new();
    for (place, command) in commands.iter().enumerate() {
        let Command::Event { regarding, kind, reason, message } = command else { continue };
        let Some(object) = snapshot.get(regarding) else { continue };
        let uid = object.metadata().uid.as_str().to_owned();
        let series =
            Series { regarding: regarding.clone(), uid, kind: *kind, reason: reason.clone(), message: message.clone() };
        said.entry(series).or_insert((place, 0)).1 += 1;
    }
    let mut said: Vec<_> = said.into_iter().collect();
    said.sort_by_key(|(_, (place, _))| *place);
    said.into_iter().map(|(series, (_, times))| (series, times)).collect()
}

fn reference(object: &Object, registry: &Registry) -> Option<Value> {
    let definition = registry.definition(object.key().resource)?;
    let version = definition.versions.first()?;
    let api_version = version.api_version();
    let mut reference = json!({
        "kind": definition.kind, "apiVersion": api_version, "name": &*object.key().name,
        "uid": object.metadata().uid.as_str(), "resourceVersion": object.revision().to_string(),
    });
    if let (Some(namespace), Some(fields)) = (&object.key().namespace, reference.as_object_mut()) {
        fields.insert("namespace".into(), (&**namespace).into());
    }
    Some(reference)
}

/// Kubernetes' `metav1.Time`: whole seconds.
pub(super) fn seconds(now: Timestamp) -> String {
    let whole = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Trunc);
    now.round(whole).unwrap_or(now).to_string()
}
