//! Worlds in which pods give way to more important ones, and their laws.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::collections::{BTreeMap, BTreeSet};

use sampan_conformance::{Deed, Edit, World, actors};
use sampan_core::Timestamp;
use sampan_core::object::Object;
use sampan_core::resource::NODES;
use sampan_core::resource::pod::DISRUPTION_TARGET;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use super::{asked, free, is_placed, named, node, pod, pods};

const BY_SCHEDULER: &str = "PreemptionByScheduler";

fn class(name: &str, value: i64, policy: &str) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
        "preemptionPolicy": policy})
}

fn of_class(mut pod: Value, class: &str) -> Value {
    pod["spec"]["priorityClassName"] = json!(class);
    pod
}

fn on(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeName"] = json!(node);
    pod
}

fn classes(world: World, name: &str) -> World {
    named(world, name)
        .holding(class("high", 1000, "PreemptLowerPriority"))
        .holding(class("patient", 1000, "Never"))
        .holding(class("low", 10, "PreemptLowerPriority"))
}

/// One gives way to a more important pod; another of his kind waits for the same room.
pub(super) fn giving_way(world: World) -> World {
    classes(world, "giving way")
        .holding(node("small", "1"))
        .holding(on(of_class(pod("first", "900m"), "low"), "small"))
        .holding(of_class(pod("next", "900m"), "low"))
        .holding(of_class(pod("master", "900m"), "high"))
}

/// An important pod that waits rather than have others give way, until somebody is deleted.
pub(super) fn patience(world: World) -> World {
    classes(world, "patience")
        .holding(node("small", "1"))
        .holding(on(of_class(pod("first", "900m"), "low"), "small"))
        .holding(of_class(pod("master", "900m"), "patient"))
        .actor_times(1, "user", |snapshot, _| {
            let first = pods(snapshot).filter(|pod| &*pod.key().name == "first");
            first.map(|pod| super::deed(pod, "is deleted", Edit::Delete(pod.key().clone()))).collect()
        })
}

/// Nobody is allowed onto the node for a while, when others have begun to give way and when they have not, and an important
/// pod is held back.
pub(super) fn closing(world: World) -> World {
    let mut master = of_class(pod("master", "900m"), "high");
    master["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    classes(world, "closing")
        .holding(node("small", "1"))
        .holding(on(of_class(pod("first", "900m"), "low"), "small"))
        .holding(master)
        .actor_times(3, "user", |snapshot, _| {
            snapshot.list(NODES, None, None).map(|node| super::turned(node)).collect()
        })
        .with(actors::helper("gatekeeper", |snapshot, _| pods(snapshot).filter_map(super::opened).collect()))
}

/// Whoever is more important withdraws when others have begun to give way.
pub(super) fn in_vain(world: World) -> World {
    classes(world, "in vain")
        .holding(node("small", "1"))
        .holding(on(of_class(pod("first", "900m"), "low"), "small"))
        .holding(of_class(pod("next", "900m"), "low"))
        .holding(of_class(pod("master", "900m"), "high"))
        .actor_times(1, "user", |snapshot, _| {
            let master = pods(snapshot).filter(|pod| &*pod.key().name == "master" && !is_placed(pod));
            master.map(|pod| super::deed(pod, "is deleted", Edit::Delete(pod.key().clone()))).collect()
        })
}

/// Others give way to a pod, and are held up; a more important one takes over what it was promised.
pub(super) fn overtaken(world: World) -> World {
    let mut first = on(of_class(pod("first", "900m"), "low"), "small");
    first["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let mut master = of_class(pod("master", "900m"), "high");
    master["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    classes(world, "overtaken")
        .holding(class("middle", 500, "PreemptLowerPriority"))
        .holding(node("small", "1"))
        .holding(first)
        .holding(of_class(pod("second", "900m"), "middle"))
        .holding(master)
        .with(actors::helper("gatekeeper", |snapshot, _| pods(snapshot).filter_map(super::opened).collect()))
}

/// Others give way to a pod, and one of them is held up; a more important one fits into what the other has left, and goes there
/// without a promise.
pub(super) fn overtaken_by_less(world: World) -> World {
    let mut first = on(of_class(pod("first", "500m"), "low"), "small");
    first["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let mut master = of_class(pod("master", "400m"), "high");
    master["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    classes(world, "overtaken by less")
        .holding(class("middle", 500, "PreemptLowerPriority"))
        .holding(node("small", "1"))
        .holding(first)
        .holding(on(of_class(pod("first-too", "500m"), "low"), "small"))
        .holding(of_class(pod("second", "900m"), "middle"))
        .holding(master)
        .with(actors::helper("gatekeeper", |snapshot, _| pods(snapshot).filter_map(super::opened).collect()))
}

/// A room is promised to a more important pod, by another scheduler, while a lesser one is being placed there.
pub(super) fn beaten_by_a_promise(world: World) -> World {
    let mut master = of_class(pod("master", "900m"), "high");
    master["spec"]["schedulerName"] = json!("another");
    classes(world, "beaten by a promise")
        .holding(node("small", "1"))
        .holding(of_class(pod("next", "900m"), "low"))
        .holding(master)
        .actor_times(1, "another scheduler", |snapshot, _| {
            if pods(snapshot).any(is_placed) {
                return Vec::new();
            }
            let master = pods(snapshot).filter(|pod| &*pod.key().name == "master");
            let promised = master.map(|pod| {
                let mut promised = pod.value();
                promised["status"]["nominatedNodeName"] = json!("small");
                Deed { what: "small is promised to master".into(), edit: Edit::UpdateStatus(promised) }
            });
            promised.collect()
        })
}

fn priority(pod: &Object) -> i64 {
    pod.value()["spec"]["priority"].as_i64().unwrap_or_default()
}

fn gives_way(pod: &Object) -> bool {
    let value = pod.value();
    let mut conditions = value.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.any(|it| it["type"] == DISRUPTION_TARGET && it["reason"] == BY_SCHEDULER)
}

fn promised(pod: &Object) -> Option<String> {
    let node = pod.value()["status"]["nominatedNodeName"].as_str()?.to_owned();
    (!is_placed(pod)).then_some(node)
}

/// How much of the node is promised to others that come before the pod.
pub(super) fn promised_before(snapshot: &Snapshot, pod: &Object, node: &str) -> i64 {
    let others = pods(snapshot).filter(|other| other.key() != pod.key() && priority(other) >= priority(pod));
    others.filter(|other| promised(other).as_deref() == Some(node)).map(asked).sum()
}

/// How much of a node is left with all gone that give way.
fn left_of(snapshot: &Snapshot, node: &str) -> i64 {
    let leaving = standing(snapshot, node).filter(|pod| gives_way(pod) || pod.metadata().is_terminating());
    free(snapshot).get(node).copied().unwrap_or_default() + leaving.map(asked).sum::<i64>()
}

fn standing<'s>(snapshot: &'s Snapshot, node: &str) -> impl Iterator<Item = &'s Object> {
    pods(snapshot).filter(move |pod| pod.field("spec.nodeName") == Some(node))
}

/// Whoever has taken promised room has to give it up again, which he would not have had to. Only who is more important may take
/// it: a promise that was overtaken so lasts until its pod is looked at again, and at rest there is none.
pub(super) fn promised_room_is_kept(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    for pod in pods(snapshot) {
        let Some(node) = promised(pod) else { continue };
        let stays = |other: &&Object| !gives_way(other) && !other.metadata().is_terminating();
        let above = standing(snapshot, &node).filter(stays).filter(|other| priority(other) > priority(pod));
        let left = left_of(snapshot, &node) + above.map(asked).sum::<i64>();
        if left < asked(pod) {
            return Err(format!("{} was promised {node}, and {left}m of it are left", pod.key()));
        }
    }
    Ok(())
}

/// At rest, what a node promises is no more than it has, with all gone that give way. Before, who is more important may have
/// been promised or given what others still are promised.
pub(super) fn all_that_is_promised_can_be_had(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    let nodes: BTreeSet<String> = pods(snapshot).filter_map(promised).collect();
    for node in nodes {
        let left = left_of(snapshot, &node);
        let wanted: i64 = pods(snapshot).filter(|pod| promised(pod).as_deref() == Some(&*node)).map(asked).sum();
        if left < wanted {
            return Err(format!("{wanted}m are promised of {node}, and {left}m can be had"));
        }
    }
    Ok(())
}

/// Nobody gives way to his equals, to who is patient, or to nobody.
pub(super) fn who_gives_way_does_it_for_somebody(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    for pod in pods(snapshot).filter(|pod| gives_way(pod)) {
        if !pod.key().name.starts_with("first") {
            return Err(format!("{} gives way without need", pod.key()));
        }
        let may = |other: &&Object| other.value()["spec"]["preemptionPolicy"] != "Never" || is_placed(other);
        let is_patient = pods(snapshot).any(|other| &*other.key().name == "master" && !may(&other));
        if is_patient {
            return Err(format!("{} gives way to a pod that waits", pod.key()));
        }
    }
    Ok(())
}

/// Whether room is being made for the pod, or cannot be.
pub(super) fn is_helped(snapshot: &Snapshot, pod: &Object) -> bool {
    if pod.value()["spec"]["preemptionPolicy"] == "Never" {
        return true;
    }
    let node_of = |pod: &Object| pod.field("spec.nodeName").unwrap_or_default().to_owned();
    let lower = || pods(snapshot).filter(|other| is_placed(other) && priority(other) < priority(pod));
    let free = free(snapshot);
    let mut room: BTreeMap<String, i64> = BTreeMap::new();
    for other in lower().filter(|other| super::takes_pods(snapshot, &node_of(other))) {
        let before = free.get(&node_of(other)).copied().unwrap_or_default();
        *room.entry(node_of(other)).or_insert(before) += asked(other);
    }
    let could = room.values().any(|room| *room >= asked(pod));
    !could || lower().any(|other| gives_way(other) && other.metadata().is_terminating())
}
