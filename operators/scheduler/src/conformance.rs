//! The scheduler under proof: its laws, and worlds with nodes and pods.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

mod company;
mod preemption;

use std::collections::BTreeMap;

use sampan_conformance::{Deed, Edit, Suite, World, actors};
use sampan_core::Timestamp;
use sampan_core::object::{Object, ObjectKey, Quantity};
use sampan_core::operator::Operator;
use sampan_core::resource::{NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS};
use sampan_core::store::Snapshot;
use sampan_storage::{BIND_COMPLETED, SELECTED_NODE};
use serde_json::{Value, json};

use crate::Scheduler;

/// A node with so many CPUs.
fn node(name: &str, cpu: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": "1Gi", "pods": "10"});
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"capacity": amounts, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A pod that asks for so much CPU.
fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "c:1", "resources": {"requests": {"cpu": cpu}}}]},
    })
}

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(Scheduler::default())
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    Suite::of(operator)
        .always("no node is overfull", no_node_is_overfull)
        .always("nobody stands near whom a pod shuns", company::nobody_stands_near_whom_a_pod_shuns)
        .always("who seeks others stands near them", company::who_seeks_others_stands_near_them)
        .always("zones are filled evenly", company::zones_are_filled_evenly)
        .always("promised room is kept", preemption::promised_room_is_kept)
        .always("who gives way does it for somebody", preemption::who_gives_way_does_it_for_somebody)
        .at_rest("all that is promised can be had", preemption::all_that_is_promised_can_be_had)
        .at_rest("a pod without a node says why", a_pod_without_a_node_says_why)
        .at_rest("no pod waits for room there is", no_pod_waits_for_room_there_is)
        .incidental(drawn_by_lot)
        .touching(|object, _| [PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS].contains(&object.key().resource))
        .world(crowded)
        .world(cordoned)
        .world(growing)
        .world(gated)
        .world(held)
        .world(provided)
        .world(provided_late)
        .world(resized)
        .world(preemption::giving_way)
        .world(preemption::patience)
        .world(preemption::in_vain)
        .world(preemption::closing)
        .world(preemption::beaten_by_a_promise)
        .world(preemption::overtaken)
        .world(preemption::overtaken_by_less)
        .world(company::apart)
        .world(company::together)
        .world(company::pair)
        .world(company::even)
        .world(company::lopsided)
        .world(company::beaten_by_whom_it_shuns)
        .world(company::beaten_by_who_shuns_it)
        .world(company::beaten_to_be_first)
        .world(company::beaten_to_the_zone)
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world.with(actors::helper("kubelet", |snapshot, _| ended(snapshot)))
}

/// Which of several pods gets the room there is, and on which of several nodes, is decided by the order of wake-ups and by
/// lot. That the outcome is right, the laws say.
fn drawn_by_lot(object: &mut Value) -> bool {
    object["kind"] != "Pod"
}

/// More pods than there is room for; a user deletes one.
fn crowded(world: World) -> World {
    named(world, "crowded")
        .holding(node("large", "1"))
        .holding(node("small", "1"))
        .holding(pod("a", "900m"))
        .holding(pod("b", "900m"))
        .holding(pod("c", "900m"))
        .actor_times(1, "user", |snapshot, _| {
            pods(snapshot).map(|pod| deed(pod, "is deleted", Edit::Delete(pod.key().clone()))).collect()
        })
}

/// A node closes and opens while a pod is being placed.
fn cordoned(world: World) -> World {
    named(world, "cordoned").holding(node("large", "4")).holding(node("small", "1")).holding(pod("a", "2")).actor_times(
        3,
        "user",
        |snapshot, _| snapshot.list(NODES, None, None).map(|node| turned(node)).collect(),
    )
}

/// There is no node at first.
fn growing(world: World) -> World {
    named(world, "growing")
        .holding(pod("a", "2"))
        .actor_times(1, "small", |_, _| {
            vec![Deed { what: "small appears".into(), edit: Edit::Create(node("small", "1")) }]
        })
        .actor_times(1, "large", |_, _| {
            vec![Deed { what: "large appears".into(), edit: Edit::Create(node("large", "4")) }]
        })
}

/// Somebody else holds pods back for a while.
fn gated(world: World) -> World {
    let gated = |name, cpu| {
        let mut pod = pod(name, cpu);
        pod["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
        pod
    };
    named(world, "gated")
        .holding(node("small", "1"))
        .holding(gated("fits", "1"))
        .holding(gated("too-big", "2"))
        .with(actors::helper("gatekeeper", |snapshot, _| pods(snapshot).filter_map(opened).collect()))
}

/// A pod that waits is deleted, and a finalizer keeps it.
fn held(world: World) -> World {
    let mut held = pod("held", "2");
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    named(world, "held")
        .holding(held)
        .actor_times(1, "user", |snapshot, _| {
            pods(snapshot).map(|pod| deed(pod, "is deleted", Edit::Delete(pod.key().clone()))).collect()
        })
        .actor_times(1, "large", |_, _| {
            vec![Deed { what: "large appears".into(), edit: Edit::Create(node("large", "4")) }]
        })
}

/// A pod that mounts a claim whose volume somebody else makes where the pod goes.
fn provided(world: World) -> World {
    let mut gated = mounting(pod("a", "2"));
    gated["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    claimed(named(world, "provided"))
        .holding(node("large", "4"))
        .holding(gated)
        .with(actors::helper("gatekeeper", |snapshot, _| pods(snapshot).filter_map(opened).collect()))
}

/// The same; its node comes late, and the maker gives a node up once.
fn provided_late(world: World) -> World {
    claimed(named(world, "provided late"))
        .holding(mounting(pod("a", "2")))
        .actor_times(1, "large", |_, _| {
            vec![Deed { what: "large appears".into(), edit: Edit::Create(node("large", "4")) }]
        })
        .with(actors::rare(1, "provisioner", |snapshot, _| {
            let given_up = |claim: &Object| {
                let mut given_up = claim.value();
                given_up["metadata"]["annotations"].as_object_mut()?.remove(SELECTED_NODE)?;
                Some(deed(claim, "is not made there", Edit::Update(given_up)))
            };
            claims(snapshot).filter(|claim| is_open(claim)).filter_map(given_up).collect()
        }))
}

/// A pod that stands grows where there is room for it, and gives the room back to one that waits.
fn resized(world: World) -> World {
    let mut first = pod("first", "300m");
    first["spec"]["nodeName"] = json!("small");
    let with = |pod: &Object, cpu: &str| {
        let mut resized = pod.value();
        resized["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!(cpu);
        deed(pod, &format!("asks for {cpu}"), Edit::Resize(resized))
    };
    named(world, "resized").holding(node("small", "1")).holding(first).holding(pod("next", "500m")).actor_times(
        2,
        "user",
        move |snapshot, _| {
            let left = free(snapshot).get("small").copied().unwrap_or_default();
            let first = pods(snapshot).find(|pod| &*pod.key().name == "first");
            let resized = first.and_then(|first| match asked(first) {
                300 if left >= 300 => Some(with(first, "600m")),
                600 if pods(snapshot).any(|pod| !is_placed(pod)) => Some(with(first, "300m")),
                _ => None,
            });
            resized.into_iter().collect()
        },
    )
}

fn mounting(mut pod: Value) -> Value {
    pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    pod
}

fn claimed(world: World) -> World {
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "far"},
        "provisioner": "example.com/far", "volumeBindingMode": "WaitForFirstConsumer"});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"storageClassName": "far", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
    let made = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv"},
        "storageClassName": "far", "claimRef": {"namespace": "default", "name": "data"}}});
    world.holding(class).holding(made).holding(claim).with(actors::helper("provisioner", |snapshot, _| {
        let bound = |claim: &Object| {
            let mut bound = claim.value();
            bound["spec"]["volumeName"] = json!("disk");
            bound["metadata"]["annotations"][BIND_COMPLETED] = json!("yes");
            deed(claim, "is bound", Edit::Update(bound))
        };
        let is_selected = |claim: &Object| !claim.value()["metadata"]["annotations"][SELECTED_NODE].is_null();
        claims(snapshot).filter(|claim| is_open(claim) && is_selected(claim)).map(bound).collect()
    }))
}

fn claims(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    snapshot.list(PERSISTENT_VOLUME_CLAIMS, None, None).map(|claim| &**claim)
}

/// Whether a claim has no volume yet.
fn is_open(claim: &Object) -> bool {
    claim.value()["spec"]["volumeName"].is_null()
}

fn pods(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    snapshot.list(PODS, None, None).map(|pod| &**pod)
}

fn deed(object: &Object, what: &str, edit: Edit) -> Deed {
    Deed { what: format!("{} {what}", object.key().name), edit }
}

/// A node lets go of what was deleted.
fn ended(snapshot: &Snapshot) -> Vec<Deed> {
    let ended = pods(snapshot).filter(|pod| pod.metadata().is_terminating() && is_placed(pod));
    ended.map(|pod| deed(pod, "ends", Edit::Remove(pod.key().clone()))).collect()
}

fn turned(node: &Object) -> Deed {
    let mut value = node.value();
    let closed = value.pointer("/spec/unschedulable") == Some(&json!(true));
    value["spec"]["unschedulable"] = json!(!closed);
    deed(node, if closed { "opens" } else { "closes" }, Edit::Update(value))
}

fn opened(pod: &Object) -> Option<Deed> {
    let mut value = pod.value();
    value["spec"].as_object_mut()?.remove("schedulingGates")?;
    Some(deed(pod, "may go", Edit::Update(value)))
}

fn is_placed(pod: &Object) -> bool {
    pod.field("spec.nodeName").is_some_and(|node| !node.is_empty())
}

fn milli(value: &Value, pointer: &str) -> i64 {
    let written = value.pointer(pointer).and_then(Value::as_str).unwrap_or("0");
    Quantity::parse(written).map(|amount| amount.milli_value()).unwrap_or_default()
}

fn asked(pod: &Object) -> i64 {
    milli(&pod.value(), "/spec/containers/0/resources/requests/cpu")
}

fn free(snapshot: &Snapshot) -> BTreeMap<String, i64> {
    let mut free: BTreeMap<String, i64> = snapshot
        .list(NODES, None, None)
        .map(|node| (node.key().name.to_string(), milli(&node.value(), "/status/allocatable/cpu")))
        .collect();
    for pod in pods(snapshot).filter(|pod| is_placed(pod)) {
        *free.entry(pod.field("spec.nodeName").unwrap_or_default().to_owned()).or_default() -= asked(pod);
    }
    free
}

fn no_node_is_overfull(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    match free(snapshot).into_iter().find(|(_, cpu)| *cpu < 0) {
        Some((node, cpu)) => Err(format!("{node} has {cpu}m of CPU left")),
        None => Ok(()),
    }
}

fn waiting(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    pods(snapshot).filter(|pod| {
        let gated = pod.value().pointer("/spec/schedulingGates").is_some();
        // One whose claim is to have its volume made waits for that.
        let is_selected = |claim: &Object| !claim.value()["metadata"]["annotations"][SELECTED_NODE].is_null();
        let awaits = claims(snapshot).any(|claim| is_open(claim) && is_selected(claim));
        let is_own = pod.field("spec.schedulerName") == Some("default-scheduler");
        is_own && !is_placed(pod) && !gated && !awaits && !pod.metadata().is_terminating()
    })
}

fn a_pod_without_a_node_says_why(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    let nodes = snapshot.count(NODES);
    for pod in waiting(snapshot) {
        let value = pod.value();
        let mut conditions = value.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let said = conditions.rfind(|it| it["type"] == "PodScheduled" && it["reason"] == "Unschedulable");
        let message = said.and_then(|it| it["message"].as_str()).unwrap_or_default();
        let expected = if nodes == 0 { "no nodes".to_owned() } else { format!("0/{nodes} nodes") };
        if !message.starts_with(&expected) {
            return Err(format!("{} says {message:?}", pod.key()));
        }
    }
    Ok(())
}

fn takes_pods(snapshot: &Snapshot, node: &str) -> bool {
    let node = snapshot.get(&ObjectKey::cluster(NODES, node));
    node.is_some_and(|node| node.field("spec.unschedulable") != Some("true"))
}

fn no_pod_waits_for_room_there_is(snapshot: &Snapshot, _now: Timestamp) -> Result<(), String> {
    let free = free(snapshot);
    for pod in waiting(snapshot) {
        if !preemption::is_helped(snapshot, pod) {
            return Err(format!("{} waits although others could give way", pod.key()));
        }
        let room = |node: &str, cpu: i64| cpu - preemption::promised_before(snapshot, pod, node) >= asked(pod);
        let fits = |node: &str, cpu: i64| {
            room(node, cpu) && takes_pods(snapshot, node) && company::is_welcome(snapshot, pod, node)
        };
        if let Some((node, _)) = free.iter().find(|(node, cpu)| fits(node, **cpu)) {
            return Err(format!("{} waits although {node} has room", pod.key()));
        }
    }
    Ok(())
}
