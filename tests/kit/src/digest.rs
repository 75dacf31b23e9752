//! What makes two states of a world the same: everything that can make them go on differently.
//!
//! Revisions, uids, generated names and the bookkeeping of field managers cannot; neither can Events, which nobody reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::object::{Object, ObjectKey, Uid};
use sampan_core::resource::{EFFECTS, EVENTS};
use sampan_core::store::Snapshot;
use serde_json::{Map, Value};

use crate::cluster::Cluster;
use crate::read;
use crate::world::World;

/// Metadata that tells objects apart but not what becomes of them.
const INCIDENTAL: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"];

/// A number that stands for a state: equal for equal states, and so wide that no two others will ever meet.
pub(crate) type Digest = u128;

/// Leaves out what tells of an object's history and not of what it is. `false`: the object as a whole.
pub type Incidental = fn(&mut Value) -> bool;

/// Takes out of an object what tells states apart that go on alike: names made of the time.
pub type Alike = fn(&mut Value);

/// Takes digests, and remembers those of objects: from one state to the next most of them stay, and forks share them.
pub(crate) struct Digester {
    /// Times are told apart up to so many seconds of age.
    ages_seconds: i64,
    incidental: Incidental,
    alike: Alike,
    states: Known,
    looks: Known,
}

/// Digests by the object they were taken of, which is kept so that its address stays its own.
type Known = HashMap<(usize, i64), (Arc<Object>, Digest)>;

impl Digester {
    pub(crate) fn new(ages_seconds: i64, incidental: Incidental, alike: Alike) -> Self {
        Self { ages_seconds, incidental, alike, states: Known::new(), looks: Known::new() }
    }

    /// Everything that can make a cluster go on differently.
    pub(crate) fn state(&mut self, cluster: &Cluster<'_>) -> Digest {
        let snapshot = cluster.snapshot();
        let driver = &cluster.driver;
        let uids: BTreeSet<&Uid> = lasting(&snapshot).map(|object| &object.metadata().uid).collect();
        let waiting: Vec<(&str, &ObjectKey)> = driver.waiting().collect();
        let charts: Vec<&'static str> = driver.charts().map(|chart| chart.name).collect();
        let mut sum: Digest = 0;
        for object in lasting(&snapshot) {
            // One whose owner was made anew under the same name looks like one of the new owner, and is collected.
            let is_forsaken = object.metadata().owner_references.iter().any(|owner| !uids.contains(&owner.uid));
            let states: Vec<&str> = charts.iter().filter_map(|chart| driver.state(chart, object.key())).collect();
            let waits: Vec<&str> =
                waiting.iter().filter(|(_, key)| *key == object.key()).map(|(operator, _)| *operator).collect();
            sum = sum.wrapping_add(digest(&(self.object(object, cluster.now), states, waits, is_forsaken)));
        }
        // A step for an object that is gone changes nothing but how much is left to do.
        let effects = driver.effects_under_way();
        let rest = (driver.next_deadline().is_some(), driver.is_ready(), driver.queued(), effects, &cluster.acted);
        sum.wrapping_add(digest(&rest)).wrapping_add(of_beyond(cluster.beyond()))
    }

    fn object(&mut self, object: &Arc<Object>, now: Timestamp) -> Digest {
        // Where ages are not told apart, an object looks the same at any time.
        let at = if self.ages_seconds == 0 { 0 } else { now.as_second() };
        let (ages_seconds, alike) = (self.ages_seconds, self.alike);
        let text = || {
            let mut value = canonical(object, now, ages_seconds);
            alike(&mut value);
            value.to_string()
        };
        let known = self.states.entry((Arc::as_ptr(object) as usize, at));
        known.or_insert_with(|| (object.clone(), digest(&text()))).1
    }

    /// What is seen of a cluster that has come to its end: its objects, without times and what is incidental, and what is beyond it.
    pub(crate) fn look(&mut self, snapshot: &Snapshot, beyond: &Value) -> Digest {
        let incidental = self.incidental;
        lasting(snapshot).fold(of_beyond(beyond), |sum: Digest, object| {
            let known = self.looks.entry((Arc::as_ptr(object) as usize, 0));
            let seen = || seen(object, incidental).map_or(0, |text| digest(&text));
            sum.wrapping_add(known.or_insert_with(|| (object.clone(), seen())).1)
        })
    }

    /// The same as text, a line for each object, in an order that equal clusters share.
    pub(crate) fn picture(&self, cluster: &Cluster<'_>) -> Vec<String> {
        let snapshot = cluster.snapshot();
        let mut lines: Vec<String> = lasting(&snapshot).filter_map(|object| seen(object, self.incidental)).collect();
        lines.sort_unstable();
        lines.push(format!("beyond the cluster: {}", cluster.beyond()));
        lines
    }
}

/// What is seen of each object that must not tell of a subject that is gone.
pub(crate) fn untouched(cluster: &Cluster<'_>) -> BTreeMap<ObjectKey, String> {
    let World { incidental, is_let_go, stays_changed, .. } = *cluster.world();
    let snapshot = cluster.snapshot();
    let others = lasting(&snapshot).filter(|object| !is_let_go(object) && !stays_changed(object));
    let told = |object: &Object| {
        let mut value = canonical(object, Timestamp::UNIX_EPOCH, 0);
        let counts = incidental(&mut value);
        prune(&mut value);
        counts.then(|| value.to_string())
    };
    others.filter_map(|object| Some((object.key().clone(), told(object)?))).collect()
}

/// Takes out what is empty: a list the last entry was taken out of says no more than none.
fn prune(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else { return };
    fields.values_mut().for_each(prune);
    let is_empty = |field: &Value| match field {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    fields.retain(|_, field| !is_empty(field));
}

fn lasting(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Object>> {
    let resources = snapshot.resources().filter(|resource| *resource != EVENTS);
    resources.flat_map(|resource| snapshot.list(resource, None, None))
}

fn seen(object: &Object, incidental: Incidental) -> Option<String> {
    let mut value = canonical(object, Timestamp::UNIX_EPOCH, 0);
    if object.key().resource == EFFECTS && value.pointer("/status/phase").is_some_and(|phase| phase == "Done") {
        // What it did is seen beyond the cluster.
        return None;
    }
    incidental(&mut value).then(|| value.to_string())
}

fn of_beyond(beyond: &Value) -> Digest {
    digest(&("beyond", beyond.to_string()))
}

/// The hasher has fixed keys, so that one run's digests are another's.
pub(crate) fn digest(value: &impl Hash) -> Digest {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, value).hash(&mut hasher);
        Digest::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// An object without what is incidental to every object.
pub(crate) fn canonical(object: &Object, now: Timestamp, ages_seconds: i64) -> Value {
    let mut value = Value::clone(&read(object));
    let generation = object.metadata().generation;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        strip(metadata);
    }
    if let Some(observed) = value.pointer_mut("/status/observedGeneration") {
        *observed = (generation - observed.as_i64().unwrap_or_default()).into();
    }
    if object.key().resource == EFFECTS {
        strip_effect(&mut value);
    }
    age(&mut value, now, ages_seconds);
    value
}

/// The name of an effect's record is made of its primary's uid. How often it was tried tells its history, but for whether it was.
fn strip_effect(record: &mut Value) {
    record.pointer_mut("/metadata").and_then(Value::as_object_mut).and_then(|metadata| metadata.remove("name"));
    record.pointer_mut("/spec").and_then(Value::as_object_mut).and_then(|spec| spec.remove("primaryUid"));
    if let Some(tries) = record.pointer_mut("/status/tries") {
        *tries = tries.as_u64().unwrap_or_default().min(1).into();
    }
}

fn strip(metadata: &mut Map<String, Value>) {
    for field in INCIDENTAL {
        metadata.remove(field);
    }
    if metadata.contains_key("generateName") {
        metadata.remove("name");
    }
    for owner in metadata.get_mut("ownerReferences").and_then(Value::as_array_mut).into_iter().flatten() {
        owner.as_object_mut().map(|owner| owner.remove("uid"));
    }
}

/// Times become ages, no finer than the world tells them apart.
fn age(value: &mut Value, now: Timestamp, ages_seconds: i64) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| age(item, now, ages_seconds)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let is_time = name.ends_with("Time") || name.ends_with("Timestamp");
                let text = field.as_str().filter(|_| is_time);
                match text.and_then(|text| text.parse::<Timestamp>().ok()) {
                    Some(time) => {
                        *field = (now.as_second() - time.as_second()).clamp(-ages_seconds, ages_seconds).into()
                    }
                    None => age(field, now, ages_seconds),
                }
            }
        }
        _ => {}
    }
}
