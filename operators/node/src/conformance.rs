//! Nodes under proof: they tell how they are, fall silent, and come back; others are lost with them; pods run on them.
//!
//! Left alone, every node falls silent in the end: what holds on the way there is told by laws.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use jiff::{SignedDuration, Timestamp};
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Operator;
use sampan_core::resource::{LEASES, NODES, PODS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::plan::GRACE;
use crate::{LEASE_NAMESPACE, NodeOperator};

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(NodeOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    Suite::of(operator)
        .spec("open", node("here", json!({}), json!([])))
        .spec("cordoned", node("here", json!({"unschedulable": true}), json!([])))
        .always("who is heard of is not given up", who_is_heard_of_is_not_given_up)
        .always("nothing is sent to pods of a node that is given up", pods_are_marked_with_their_node)
        .at_rest("taints tell what conditions say", taints_tell_what_conditions_say)
        .at_rest("pods leave a lost node while another is ready", pods_leave_while_another_is_ready)
        .at_rest("others' taints are left alone", others_taints_are_left_alone)
        .touching(|object, _| object.key().resource == PODS)
        .incidental(without_history)
        .alike(undated)
        .world(told)
        .world(beside)
        .world(renewed)
        .world(peopled)
        .world(pressed)
}

/// Whether a condition was ever told depends on when its node fell silent; that there is no network others say, and nobody
/// here would say it again.
fn without_history(object: &mut Value) -> bool {
    undated(object);
    if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| condition["type"] != "NetworkUnavailable");
        conditions.sort_by_key(|condition| condition["type"].to_string());
        for fields in conditions.iter_mut().filter_map(Value::as_object_mut) {
            fields.retain(|name, _| ["type", "status"].contains(&name.as_str()));
        }
    }
    if let Some(taints) = object.pointer_mut("/spec/taints").and_then(Value::as_array_mut) {
        taints.retain(|taint| taint["key"] != "node.kubernetes.io/network-unavailable");
        taints.sort_by_key(|taint| taint["key"].to_string());
    }
    object["kind"] != "Lease"
}

/// When a taint was added decides nothing here.
fn undated(object: &mut Value) {
    for taint in object.pointer_mut("/spec/taints").and_then(Value::as_array_mut).into_iter().flatten() {
        taint.as_object_mut().map(|taint| taint.remove("timeAdded"));
    }
}

/// A node with what its spec and its conditions say.
fn node(name: &str, spec: Value, conditions: Value) -> Value {
    let status = json!({"conditions": conditions});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec, "status": status})
}

fn condition(name: &str, status: &str) -> Value {
    json!({"type": name, "status": status})
}

fn called(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}})
}

/// A node that says whether it is ready.
fn telling(name: &'static str, times: usize) -> Actor {
    actors::rare(times, "kubelet", move |snapshot, now| {
        let node = snapshot.get(&ObjectKey::cluster(NODES, name)).into_iter();
        node.flat_map(|node| ["True", "False"].map(|status| says(node, "Ready", status, now))).collect()
    })
}

/// A node says something of itself.
fn says(node: &Object, name: &str, status: &str, now: Timestamp) -> Deed {
    let mut value = node.value();
    let mut conditions = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != name);
    let mut said = condition(name, status);
    said["lastHeartbeatTime"] = json!(now.to_string());
    conditions.push(said);
    value["status"]["conditions"] = json!(conditions);
    actors::deed(node, &format!("says {name} is {status}"), Edit::UpdateStatus(value))
}

/// A node says how it is, or nothing.
fn told(world: World) -> World {
    let mut given = node("here", json!({"taints": [{"key": "gpu", "effect": "NoExecute"}]}), json!([]));
    given["metadata"]["labels"] = json!({"given": "gpu"});
    called(world, "told").holding(given).with(telling("here", 2))
}

/// Two nodes are lost one after the other, or one of them is not. Exploring it takes more seconds than a change should wait.
fn beside(world: World) -> World {
    let world = World { is_large: true, ..world };
    called(world, "beside")
        .holding(node("here", json!({}), json!([condition("Ready", "False")])))
        .holding(node("there", json!({}), json!([condition("Ready", "True")])))
        .with(telling("here", 1))
        .with(telling("there", 1))
}

/// A node renews its Lease for a while; it is cordoned and opened again.
fn renewed(world: World) -> World {
    called(world, "renewed")
        .holding(namespace())
        .holding(node("here", json!({}), json!([condition("Ready", "True")])))
        .holding(node("there", json!({}), json!([])))
        .with(actors::rare(1, "kubelet", |snapshot, now| {
            let lives = nodes(snapshot).any(|node| node["metadata"]["name"] == "here" && given_up_at(&node).is_none());
            lives.then(|| renewal(snapshot, now)).into_iter().collect()
        }))
        .with(actors::rare(1, "administrator", |snapshot, _| {
            let turned = |node: &Object| {
                let mut value = node.value();
                value["spec"]["unschedulable"] = json!(!value["spec"]["unschedulable"].as_bool().unwrap_or_default());
                actors::deed(node, "is opened or closed", Edit::Update(value))
            };
            snapshot.list(NODES, None, None).map(|node| turned(node)).collect()
        }))
}

fn lease() -> ObjectKey {
    ObjectKey::namespaced(LEASES, LEASE_NAMESPACE, "here")
}

fn renewal(snapshot: &Snapshot, now: Timestamp) -> Deed {
    let spec = json!({"holderIdentity": "here", "leaseDurationSeconds": 40, "renewTime": format!("{now:.6}")});
    let what = "here renews its Lease".to_owned();
    let Some(known) = snapshot.get(&lease()) else {
        let object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "here", "namespace": LEASE_NAMESPACE}, "spec": spec});
        return Deed { what, edit: Edit::Create(object) };
    };
    let mut object = known.value();
    object["spec"] = spec;
    Deed { what, edit: Edit::Update(object) }
}

/// Pods run on a node that falls silent, and one on a node beside it.
fn peopled(world: World) -> World {
    let pod = |name: &str, node: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "c:1"}]}})
    };
    called(world, "peopled")
        .holding(node("here", json!({}), json!([condition("Ready", "True")])))
        .holding(pod("web", "here"))
        .holding(pod("other", "there"))
        .with(actors::rare(2, "kubelet", |snapshot, now| {
            match nodes(snapshot).any(|node| given_up_at(&node).is_some()) {
                true => Vec::new(),
                false => actors::become_ready(snapshot, now),
            }
        }))
}

/// A node is short of memory, or has no network.
fn pressed(world: World) -> World {
    called(world, "pressed").holding(node("here", json!({}), json!([condition("Ready", "True")]))).with(actors::rare(
        1,
        "kubelet",
        |snapshot, now| {
            let nodes = snapshot.list(NODES, None, None);
            let says = |node: &Object, name: &str| ["True", "False"].map(|status| says(node, name, status, now));
            nodes.flat_map(|node| ["MemoryPressure", "NetworkUnavailable"].map(|it| says(node, it))).flatten().collect()
        },
    ))
}

fn nodes(snapshot: &Snapshot) -> impl Iterator<Item = Value> {
    snapshot.list(NODES, None, None).map(|node| node.value())
}

fn said<'a>(node: &'a Value, name: &str) -> &'a Value {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == name).unwrap_or(&Value::Null)
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// When a node was given up, where it is.
fn given_up_at(node: &Value) -> Option<Timestamp> {
    let ready = said(node, "Ready");
    time(&ready["lastTransitionTime"]).filter(|_| ready["status"] == "Unknown")
}

fn has_taint(node: &Value, key: &str, effect: &str) -> bool {
    let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.any(|taint| taint["key"] == format!("node.kubernetes.io/{key}") && taint["effect"] == effect)
}

/// Nothing was heard of a node for the whole time of grace before it was given up. Nobody renews a Lease after that here, and
/// times are whole seconds.
fn who_is_heard_of_is_not_given_up(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    for node in nodes(snapshot) {
        let Some(given_up) = given_up_at(&node) else { continue };
        let renewed = snapshot.get(&lease()).filter(|lease| *lease.key().name == node["metadata"]["name"]);
        let sign = renewed.and_then(|lease| time(&lease.value()["spec"]["renewTime"])).filter(|sign| *sign < given_up);
        let patience = GRACE - SignedDuration::from_secs(1);
        if let Some(sign) = sign.filter(|sign| given_up.duration_since(*sign) < patience) {
            return Err(format!("{} was heard of at {sign} and given up at {given_up}", node["metadata"]["name"]));
        }
    }
    Ok(())
}

fn pods_are_marked_with_their_node(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    for node in nodes(snapshot) {
        let pods = actors::pods(snapshot).map(|pod| pod.value()).filter(|_| given_up_at(&node).is_some());
        let mut ready = pods.filter(|pod| pod["spec"]["nodeName"] == node["metadata"]["name"] && actors::is_ready(pod));
        if let Some(pod) = ready.next() {
            return Err(format!("{} is ready on a node that is given up", pod["metadata"]["name"]));
        }
    }
    Ok(())
}

fn taints_tell_what_conditions_say(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    for node in nodes(snapshot) {
        let is = |name: &str, status: &str| said(&node, name)["status"] == status;
        let expected = [
            ("not-ready", is("Ready", "False")),
            ("unreachable", is("Ready", "Unknown")),
            ("memory-pressure", is("MemoryPressure", "True")),
            ("network-unavailable", is("NetworkUnavailable", "True")),
            ("unschedulable", node["spec"]["unschedulable"] == true),
        ];
        for (key, expected) in expected {
            if has_taint(&node, key, "NoSchedule") != expected {
                return Err(format!("{}: taint {key} should be {expected}", node["metadata"]["name"]));
            }
        }
    }
    Ok(())
}

fn pods_leave_while_another_is_ready(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let is_any_ready = nodes(snapshot).any(|node| said(&node, "Ready")["status"] == "True");
    for node in nodes(snapshot) {
        let ready = said(&node, "Ready")["status"].clone();
        for (key, status) in [("not-ready", "False"), ("unreachable", "Unknown")] {
            let expected = is_any_ready && ready == status;
            if has_taint(&node, key, "NoExecute") != expected {
                return Err(format!("{}: pods are driven away by {key}: not {expected}", node["metadata"]["name"]));
            }
        }
    }
    Ok(())
}

fn others_taints_are_left_alone(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let mut given = nodes(snapshot).filter(|node| node["metadata"]["labels"]["given"] == "gpu");
    let has = |node: &Value| node["spec"]["taints"].as_array().into_iter().flatten().any(|taint| taint["key"] == "gpu");
    match given.find(|node| !has(node)) {
        Some(node) => Err(format!("{} has lost the taint gpu", node["metadata"]["name"])),
        None => Ok(()),
    }
}
