//! The evictor under proof: taints come and go, nodes are lost, gone or out of service, pods are deleted and held.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, EPOCH, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Operator;
use sampan_core::resource::NODES;
use sampan_core::resource::pod::DISRUPTION_TARGET;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::Evictor;

const GPU: &str = "example.com/gpu";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Seconds for which it may be said of a pod that it is about to go.
const MARKED_SECONDS: i64 = 120;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(Evictor)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    Suite::of(operator)
        .at_rest("no pod is where it is driven away", no_pod_is_where_it_is_driven_away)
        .at_rest("no pod is where there is no node", no_pod_is_where_there_is_no_node)
        .at_rest("nobody is said to go for ever", nobody_is_said_to_go_for_ever)
        .alike(undated)
        .incidental(without_history)
        .world(tainted)
        .world(patient)
        .world(lost)
        .world(gone)
        .world(out_of_service)
        .world(unplaced)
        .world(marked)
        .world(marked_where_it_is_tolerated)
}

/// Whether a pod was marked before its node was gone, and when, depends on what came first.
fn without_history(object: &mut Value) -> bool {
    if let Some(status) = object.pointer_mut("/status").and_then(Value::as_object_mut) {
        status.remove("conditions");
    }
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("deletionTimestamp");
    }
    true
}

/// When a taint was added decides only when a pod goes.
fn undated(object: &mut Value) {
    for taint in object.pointer_mut("/spec/taints").and_then(Value::as_array_mut).into_iter().flatten() {
        taint.as_object_mut().map(|taint| taint.remove("timeAdded"));
    }
}

fn called(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

fn node(ready: &str, taints: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}, "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": ready}]}})
}

fn taint(key: &str, effect: &str) -> Value {
    json!({"key": key, "effect": effect})
}

fn pod(more: Value, finalizers: Value) -> Value {
    let mut spec = json!({"nodeName": "here", "containers": [{"name": "c", "image": "c:1"}]});
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "web", "namespace": "default", "finalizers": finalizers}})
}

fn here(snapshot: &Snapshot) -> Option<&Object> {
    snapshot.get(&ObjectKey::cluster(NODES, "here")).map(|node| &**node)
}

/// Ends the pods that are deleted, where the node is there and answers.
fn kubelet() -> Actor {
    actors::helper("kubelet", |snapshot, _| match here(snapshot).is_some_and(|node| is_ready(&node.value())) {
        true => actors::end(snapshot),
        false => Vec::new(),
    })
}

/// Gives the node a taint that drives pods away, or takes it from it, so many times.
fn tainting(times: usize) -> Actor {
    actors::rare(times, "administrator", |snapshot, _| {
        let turned = |node: &Object| match has_taint(&node.value(), GPU) {
            true => respecified(node, "loses its taint", json!([])),
            false => respecified(node, "gets a taint", json!([taint(GPU, "NoExecute")])),
        };
        here(snapshot).map(turned).into_iter().collect()
    })
}

fn respecified(node: &Object, what: &str, taints: Value) -> Deed {
    let mut value = node.value();
    value["spec"]["taints"] = taints;
    actors::deed(node, what, Edit::Update(value))
}

/// Somebody deletes the pod, once.
fn deleting() -> Actor {
    actors::user_who_deletes_pods(1)
}

/// The node gets a taint the pod does not tolerate.
fn tainted(world: World) -> World {
    called(world, "tainted")
        .holding(node("True", json!([])))
        .holding(pod(json!({}), json!([])))
        .with(kubelet())
        .with(tainting(2))
}

/// The node gets a taint the pod tolerates for a while.
fn patient(world: World) -> World {
    let tolerant = json!([{"key": GPU, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}]);
    called(world, "patient")
        .holding(node("True", json!([])))
        .holding(pod(json!({"tolerations": tolerant}), json!([])))
        .with(kubelet())
        .with(tainting(3))
        .with(deleting())
}

/// The node does not answer and does not come back.
fn lost(world: World) -> World {
    called(world, "lost")
        .holding(node("Unknown", json!([taint(UNREACHABLE, "NoExecute")])))
        .holding(pod(json!({}), json!([])))
        .with(deleting())
        .always("nobody is removed by force whom a node may still end", |snapshot, _| {
            match actors::pods(snapshot).next().map(|pod| pod.value()["metadata"]["deletionGracePeriodSeconds"].clone())
            {
                Some(grace) if grace != 0 => Ok(()),
                _ => Err("it is gone".into()),
            }
        })
}

/// The node's object goes, and comes back; the pod's is held by somebody else.
fn gone(world: World) -> World {
    called(world, "gone")
        .holding(node("True", json!([])))
        .holding(pod(json!({}), json!(["example.com/hold"])))
        .with(kubelet())
        .with(actors::rare(2, "administrator", |snapshot, _| match here(snapshot) {
            Some(node) => vec![actors::deed(node, "is gone", Edit::Remove(node.key().clone()))],
            None => vec![Deed { what: "here is there".into(), edit: Edit::Create(node("True", json!([]))) }],
        }))
        .with(deleting())
        .at_rest("who cannot be ended has failed", |snapshot, now| {
            let mut pods = actors::pods(snapshot).map(|pod| pod.value());
            let is_forsaken = here(snapshot).is_none() && is_late(now);
            match pods.find(|pod| is_forsaken && pod["status"]["phase"] != "Failed") {
                Some(pod) => Err(format!("it is {}", pod["status"]["phase"])),
                None => Ok(()),
            }
        })
}

/// The node is shut down, and somebody says so.
fn out_of_service(world: World) -> World {
    let unreachable = taint(UNREACHABLE, "NoExecute");
    called(world, "out of service")
        .holding(node("Unknown", json!([unreachable])))
        .holding(pod(json!({}), json!([])))
        .with(deleting())
        .with(actors::rare(1, "administrator", |snapshot, _| {
            let taints = json!([taint(UNREACHABLE, "NoExecute"), taint(OUT_OF_SERVICE, "NoExecute")]);
            here(snapshot).map(|node| respecified(node, "is out of service", taints)).into_iter().collect()
        }))
        .at_rest("nobody waits for a node that is out of service", |snapshot, _| {
            let is_out = here(snapshot).is_some_and(|node| has_taint(&node.value(), OUT_OF_SERVICE));
            match actors::pods(snapshot).find(|pod| is_out && pod.metadata().is_terminating()) {
                Some(pod) => Err(format!("{} is still there", pod.key())),
                None => Ok(()),
            }
        })
}

/// A pod that never had a node is deleted, and held by somebody else.
fn unplaced(world: World) -> World {
    called(world, "unplaced")
        .holding(pod(json!({"nodeName": ""}), json!(["example.com/hold"])))
        .with(deleting())
        .at_rest("who cannot be ended has failed", |snapshot, _| {
            let mut pods = actors::pods(snapshot).filter(|pod| pod.metadata().is_terminating());
            match pods.find(|pod| pod.value()["status"]["phase"] != "Failed") {
                Some(pod) => Err(format!("{} is {}", pod.key(), pod.value()["status"]["phase"])),
                None => Ok(()),
            }
        })
}

/// Somebody says of the pod that it is about to go, so many times, and may take it back.
fn claimant(times: usize) -> Actor {
    actors::rare(times, "claimant", |snapshot, now| {
        let turned = |pod: &Object| {
            let status = if is_said_to_go(&pod.value()) { "False" } else { "True" };
            let since = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
            let said = json!([{"type": DISRUPTION_TARGET, "status": status, "reason": "PreemptionByScheduler",
                "lastTransitionTime": since}]);
            let value = actors::with_status(pod, &[("conditions", said)]);
            actors::deed(pod, "is said to go, or not to", Edit::UpdateStatus(value))
        };
        actors::pods(snapshot).map(|pod| turned(pod)).collect()
    })
}

/// Somebody says that the pod is about to go, and nobody deletes it.
fn marked(world: World) -> World {
    let mut world = called(world, "marked");
    world.ages_seconds = MARKED_SECONDS + 1;
    world.holding(node("True", json!([]))).holding(pod(json!({}), json!([]))).with(kubelet()).with(claimant(2))
}

/// The same of a pod that its node's taints will drive away later.
fn marked_where_it_is_tolerated(world: World) -> World {
    let tolerant = json!([{"key": GPU, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
    let mut dated = taint(GPU, "NoExecute");
    dated["timeAdded"] = json!(EPOCH.to_string());
    let mut world = called(world, "marked where it is tolerated");
    world.ages_seconds = MARKED_SECONDS + 1;
    world
        .holding(node("True", json!([dated])))
        .holding(pod(json!({"tolerations": tolerant}), json!([])))
        .with(kubelet())
        .with(claimant(1))
}

fn is_said_to_go(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| it["type"] == DISRUPTION_TARGET && it["status"] == "True")
}

fn nobody_is_said_to_go_for_ever(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let since = |pod: &Value| pod["status"]["conditions"][0]["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok();
    let is_stale = |pod: &Value| since(pod).is_some_and(|since| now.as_second() - since.as_second() > MARKED_SECONDS);
    let stays = |pod: &&Arc<Object>| !pod.metadata().is_terminating() && pod.field("status.phase") != Some("Failed");
    match actors::pods(snapshot).filter(stays).map(|pod| pod.value()).find(|pod| is_said_to_go(pod) && is_stale(pod)) {
        Some(pod) => Err(format!("{} is said to go, and stays", pod["metadata"]["name"])),
        None => Ok(()),
    }
}

fn is_ready(node: &Value) -> bool {
    node["status"]["conditions"][0]["status"] == "True"
}

fn has_taint(node: &Value, key: &str) -> bool {
    node["spec"]["taints"].as_array().into_iter().flatten().any(|taint| taint["key"] == key)
}

fn no_pod_is_where_it_is_driven_away(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(node) = here(snapshot).filter(|node| has_taint(&node.value(), GPU)) else { return Ok(()) };
    let tolerates = |pod: &Value| {
        let mut tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
        tolerations.any(|toleration| toleration["key"] == GPU)
    };
    match actors::pods(snapshot).find(|pod| !pod.metadata().is_terminating() && !tolerates(&pod.value())) {
        Some(pod) => Err(format!("{} is on {} and does not tolerate it", pod.key(), node.key())),
        None => Ok(()),
    }
}

fn no_pod_is_where_there_is_no_node(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let is_forsaken = here(snapshot).is_none() && is_late(now);
    let is_placed = |pod: &Object| pod.field("spec.nodeName") == Some("here");
    match actors::pods(snapshot).find(|pod| is_forsaken && is_placed(pod) && !pod.metadata().is_terminating()) {
        Some(pod) => Err(format!("{} is on a node that is not there", pod.key())),
        None => Ok(()),
    }
}

/// Pods are created when their worlds begin: some restarts later no node is about to register any more.
fn is_late(now: Timestamp) -> bool {
    now.as_second() - sampan_conformance::EPOCH.as_second() > 3600
}
