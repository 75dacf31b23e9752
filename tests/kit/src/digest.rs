//! What makes two states of a world the same: everything that can make them go on differently.
//!
//! Revisions, uids, generated names and the bookkeeping of field managers cannot; neither can Events, which nobody reads.

use std::fmt::Write as _;

use jiff::Timestamp;
use sampan_core::object::Object;
use serde_json::{Map, Value};

use crate::cluster::Cluster;

/// Metadata that tells objects apart but not what becomes of them.
const INCIDENTAL: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"];

/// The state of a cluster, in a spelling that is equal for equal states.
pub(crate) fn digest(cluster: &Cluster<'_>, ages_seconds: i64) -> String {
    let snapshot = cluster.snapshot();
    let resources: Vec<_> = snapshot.resources().filter(|resource| resource.plural != "events").collect();
    let objects = resources.into_iter().flat_map(|resource| snapshot.list(resource, None, None));
    let mut lines: Vec<String> = objects
        .map(|object| {
            let states = cluster.driver.charts().filter_map(|chart| cluster.driver.state(chart.name, object.key()));
            let states: Vec<&str> = states.collect();
            let waits = cluster.driver.waiting().filter(|(_, key)| *key == object.key()).map(|(operator, _)| operator);
            let waits: Vec<&str> = waits.collect();
            format!("{} {states:?} {waits:?}", canonical(object, cluster.now, ages_seconds))
        })
        .collect();
    lines.sort_unstable();
    let mut text = lines.join("\n");
    let is_timed = cluster.driver.next_deadline().is_some();
    // A step for an object that is gone changes nothing but how much is left to do.
    let (is_ready, queued) = (cluster.driver.is_ready(), cluster.driver.queued());
    let _ = write!(text, "\n{is_timed} {is_ready} {queued} {:?}", cluster.acted);
    text
}

fn canonical(object: &Object, now: Timestamp, ages_seconds: i64) -> String {
    let mut value = object.value();
    let generation = object.metadata().generation;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        strip(metadata);
    }
    if let Some(observed) = value.pointer_mut("/status/observedGeneration") {
        *observed = (generation - observed.as_i64().unwrap_or_default()).into();
    }
    age(&mut value, now, ages_seconds);
    format!("{} {value}", object.key().resource)
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
                let time = field.as_str().and_then(|text| text.parse::<Timestamp>().ok());
                match time.filter(|_| name.ends_with("Time") || name.ends_with("Timestamp")) {
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
