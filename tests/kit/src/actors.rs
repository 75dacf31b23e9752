//! Neighbours that many operators have: whoever makes pods run, loses them, and clears up after owners.

use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::object::Object;
use sampan_core::resource::{EVENTS, PODS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::read;
use crate::world::{Actor, Deed, Edit};

/// Makes pods ready, and lets go of those that are deleted: what every node does sooner or later.
pub fn kubelet() -> Actor {
    helper("kubelet", |snapshot, now| [become_ready(snapshot, now), end(snapshot)].concat())
}

/// Removes what no longer has any of its owners: what the garbage collector does sooner or later.
pub fn collector() -> Actor {
    helper("garbage collector", |snapshot, _| {
        let abandoned = objects(snapshot).filter(|object| is_abandoned(object, snapshot));
        abandoned.map(|object| deed(object, "is collected", Edit::Delete(object.key().clone()))).collect()
    })
}

/// A user who deletes one pod or another, so many times.
pub fn user_who_deletes_pods(times: usize) -> Actor {
    rare(times, "user", |snapshot, _| {
        pods(snapshot).map(|pod| deed(pod, "is deleted", Edit::Delete(pod.key().clone()))).collect()
    })
}

/// Pods lose their readiness, so many times.
pub fn flaky(times: usize) -> Actor {
    rare(times, "disaster", lose_readiness)
}

/// Pods fail, so many times.
pub fn failing(times: usize) -> Actor {
    rare(times, "failure", |snapshot, _| pods(snapshot).map(|pod| with_phase(pod, "Failed")).collect())
}

/// Somebody whom the world waits for.
pub fn helper(name: &'static str, deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + Send + Sync + 'static) -> Actor {
    Actor { name, times: None, helps: true, rules: false, deeds: Arc::new(deeds) }
}

/// Somebody who acts so many times at most.
pub fn rare(
    times: usize,
    name: &'static str,
    deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + Send + Sync + 'static,
) -> Actor {
    Actor { name, times: Some(times), helps: false, rules: false, deeds: Arc::new(deeds) }
}

/// Somebody who changes, so many times at most, what rules of admission rest on.
pub fn ruler(
    times: usize,
    name: &'static str,
    deeds: impl Fn(&Snapshot, Timestamp) -> Vec<Deed> + Send + Sync + 'static,
) -> Actor {
    Actor { rules: true, ..rare(times, name, deeds) }
}

/// Pods that are not ready become so.
pub fn become_ready(snapshot: &Snapshot, now: Timestamp) -> Vec<Deed> {
    let waiting = pods(snapshot).filter(|pod| !is_ready(&read(pod)) && is_alive(pod));
    waiting.map(|pod| with_readiness(pod, true, now)).collect()
}

/// Pods that are ready are so no longer.
pub fn lose_readiness(snapshot: &Snapshot, now: Timestamp) -> Vec<Deed> {
    pods(snapshot).filter(|pod| is_ready(&read(pod))).map(|pod| with_readiness(pod, false, now)).collect()
}

/// Pods that are deleted end.
pub fn end(snapshot: &Snapshot) -> Vec<Deed> {
    let going = pods(snapshot).filter(|pod| pod.metadata().is_terminating());
    going.map(|pod| deed(pod, "has ended", Edit::Remove(pod.key().clone()))).collect()
}

/// Something that happens to an object.
pub fn deed(object: &Object, what: &str, edit: Edit) -> Deed {
    Deed { what: format!("{} {what}", object.key().name), edit }
}

/// All pods.
pub fn pods(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Object>> {
    snapshot.list(PODS, None, None)
}

/// Whether a pod is neither on its way out nor ended.
pub fn is_alive(pod: &Object) -> bool {
    let value = read(pod);
    let phase = value.pointer("/status/phase").and_then(Value::as_str);
    !pod.metadata().is_terminating() && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// Whether a pod's status says it is ready.
pub fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let says = |condition: &Value, field: &str, expected: &str| condition.get(field).is_some_and(|it| it == expected);
    conditions.any(|condition| says(condition, "type", "Ready") && says(condition, "status", "True"))
}

/// Whether it has been, for so many seconds; none are over whatever the clock says.
pub fn is_ready_for(pod: &Value, seconds: i64, now: Timestamp) -> bool {
    let since = pod.pointer("/status/conditions/0/lastTransitionTime").and_then(Value::as_str);
    let since = since.and_then(|since| since.parse::<Timestamp>().ok());
    let is_long = |since: Timestamp| now.as_second() - since.as_second() >= seconds;
    is_ready(pod) && (seconds == 0 || since.is_some_and(is_long))
}

fn with_readiness(pod: &Object, ready: bool, now: Timestamp) -> Deed {
    let status = if ready { "True" } else { "False" };
    let conditions = json!([{"type": "Ready", "status": status, "lastTransitionTime": now.to_string()}]);
    let value = with_status(pod, &[("phase", json!("Running")), ("conditions", conditions)]);
    deed(pod, if ready { "becomes ready" } else { "is no longer ready" }, Edit::UpdateStatus(value))
}

fn with_phase(pod: &Object, phase: &str) -> Deed {
    let value = with_status(pod, &[("phase", json!(phase)), ("conditions", json!([]))]);
    deed(pod, &format!("is {phase}"), Edit::UpdateStatus(value))
}

/// An object whose status has other values in some of its fields.
pub fn with_status(object: &Object, fields: &[(&str, Value)]) -> Value {
    let mut value = Value::clone(&read(object));
    if let Some(whole) = value.as_object_mut() {
        let status = whole.entry("status").or_insert_with(|| json!({}));
        if let Some(status) = status.as_object_mut() {
            status.extend(fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone())));
        }
    }
    value
}

fn objects(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Object>> {
    let resources = snapshot.resources().filter(|resource| *resource != EVENTS);
    resources.flat_map(|resource| snapshot.list(resource, None, None))
}

fn is_abandoned(object: &Object, snapshot: &Snapshot) -> bool {
    let owners = &object.metadata().owner_references;
    let exists = |uid| objects(snapshot).any(|other| other.metadata().uid == uid);
    !owners.is_empty() && !object.metadata().is_terminating() && !owners.iter().any(|owner| exists(owner.uid.clone()))
}
