//! The evictor under proof: taints come and go, nodes are lost, gone or out of service, pods are deleted and held.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Operator;
use sampan_core::resource::NODES;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::Evictor;

const GPU: &str = "example.com/gpu";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
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
        .alike(undated)
        .incidental(without_history)
        .world(tainted)
        .world(patient)
        .world(lost)
        .world(gone)
        .world(out_of_service)
        .world(unplaced)
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
