//! DaemonSets under proof: their specs, their neighbours, their laws, and the worlds where something goes wrong.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::resource::{NODES, PODS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::DaemonSetOperator;

const DAEMON_SETS: ResourceType = ResourceType::new("apps", "daemonsets");

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(DaemonSetOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    Suite::of(operator)
        .spec("one", daemon_set("web:1"))
        .spec("other", daemon_set("web:2"))
        .beside(node("a"))
        .neighbour(actors::kubelet())
        .incidental(is_no_history)
        .remembering(&["/collisionCount"])
        .lagging_behind(&[NODES])
        .at_rest("the status tells what is", status_tells_what_is)
        .touching(|object, _| object.key().resource == PODS && object.metadata().controller().is_none())
        .letting_go(|object| object.key().resource == PODS && !is_matching(object))
        .world(failing)
        .world(joined)
        .world(tainted)
        .world(rolled)
        .world(surged)
        .world(claimed)
        .world(held)
        .world(patient)
}

/// A DaemonSet of that image.
pub fn daemon_set(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    })
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
}

fn web() -> ObjectKey {
    ObjectKey::namespaced(DAEMON_SETS, "default", "web")
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// Explored with a large budget alone: it takes more seconds than a change should wait.
fn large(mut world: World) -> World {
    world.is_large = true;
    world
}

fn counted(world: World) -> World {
    world.at_rest("every node that fits has one pod, and no other has any", every_node_has_its_pod)
}

/// Pods lose their readiness, fail, and are deleted.
fn failing(world: World) -> World {
    counted(named(world, "failing"))
        .holding(node("a"))
        .holding(daemon_set("web:1"))
        .with(actors::kubelet())
        .with(actors::flaky(1))
        .with(actors::user_who_deletes_pods(1))
        .with(actors::failing(1))
}

/// Nodes come and go.
fn joined(world: World) -> World {
    counted(named(world, "joined")).holding(node("a")).holding(daemon_set("web:1")).with(actors::kubelet()).with(
        actors::rare(2, "administrator", |snapshot, _| {
            let key = ObjectKey::cluster(NODES, "b");
            match snapshot.get(&key) {
                Some(_) => vec![Deed { what: "b goes".into(), edit: Edit::Delete(key) }],
                None => vec![Deed { what: "b joins".into(), edit: Edit::Create(node("b")) }],
            }
        }),
    )
}

/// A node gets a taint that drives pods away, and loses it. What one that only keeps them off leaves, depends on when it came.
fn tainted(world: World) -> World {
    named(world, "tainted")
        .holding(node("a"))
        .holding(daemon_set("web:1"))
        .with(actors::kubelet())
        .with(actors::rare(2, "administrator", |snapshot, _| taints(snapshot)))
        .at_rest("no pod is where a taint drives it away", no_pod_where_it_is_driven_away)
}

/// A new template, or a second one while the first is still on its way.
fn rolled(world: World) -> World {
    counted(named(world, "rolled"))
        .holding(node("a"))
        .holding(node("b"))
        .holding(daemon_set("web:1"))
        .with(actors::kubelet())
        .actor_times(2, "user", |snapshot, _| images(snapshot))
        .always("one of two nodes always has a ready pod", |snapshot, _| ready_nodes_are(snapshot, 2, 1))
        .at_rest("every pod is of the template", every_pod_is_of_the_template)
}

/// A new template where a node has two pods for a while.
fn surged(world: World) -> World {
    let mut surging = daemon_set("web:1");
    surging["spec"]["updateStrategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    counted(named(world, "surged"))
        .holding(node("a"))
        .holding(surging)
        .with(actors::kubelet())
        .actor_times(2, "user", |snapshot, _| images(snapshot))
        .always("the node always has a ready pod", |snapshot, _| ready_nodes_are(snapshot, 1, 1))
        .at_rest("every pod is of the template", every_pod_is_of_the_template)
}

/// An orphan appears on a node, and pods get other labels.
fn claimed(world: World) -> World {
    counted(large(named(world, "claimed")))
        .holding(node("a"))
        .holding(daemon_set("web:1"))
        .with(actors::kubelet())
        .with(actors::rare(1, "stranger", |_, _| vec![orphan()]))
        .with(actors::rare(1, "user", |snapshot, _| actors::pods(snapshot).map(|pod| relabelled(pod)).collect()))
}

/// The DaemonSet is deleted while somebody's finalizer holds it.
fn held(world: World) -> World {
    let mut set = daemon_set("web:1");
    set["metadata"]["finalizers"] = json!(["example.com/hold"]);
    named(world, "held")
        .holding(node("a"))
        .holding(set)
        .with(actors::rare(1, "user", |_, _| vec![Deed { what: "web is deleted".into(), edit: Edit::Delete(web()) }]))
        .with(actors::kubelet())
        .with(actors::flaky(1))
        .always("no pod is created once deletion was asked for", nothing_is_created_for_the_dying)
}

/// Pods count as available only after ten seconds.
fn patient(world: World) -> World {
    let mut patient = daemon_set("web:1");
    patient["spec"]["minReadySeconds"] = json!(10);
    let mut world = counted(named(world, "patient"))
        .holding(node("a"))
        .holding(patient)
        .with(actors::kubelet())
        .with(actors::flaky(1));
    world.ages_seconds = 11;
    world
}

/// What the template was before, and what its revision had to be called because a name was taken, tells how a set came to
/// be as it is.
fn is_no_history(object: &mut Value) -> bool {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for (map, names) in [
            ("labels", ["controller-revision-hash", "pod-template-generation"].as_slice()),
            ("annotations", &["deprecated.daemonset.template.generation"]),
        ] {
            let Some(map) = metadata.get_mut(map).and_then(Value::as_object_mut) else { continue };
            map.retain(|name, _| !names.contains(&name.as_str()));
        }
    }
    if object["kind"] == "DaemonSet"
        && let Some(status) = object["status"].as_object_mut()
    {
        status.retain(|field, _| !["conditions", "collisionCount"].contains(&field.as_str()));
    }
    object["kind"] != "ControllerRevision"
}

fn images(snapshot: &Snapshot) -> Vec<Deed> {
    let Some(set) = snapshot.get(&web()) else { return Vec::new() };
    let deed = |image: &str| {
        let mut value = set.value();
        let place = value.pointer_mut("/spec/template/spec/containers/0/image").filter(|place| **place != image)?;
        *place = json!(image);
        Some(Deed { what: format!("web gets image {image}"), edit: Edit::Update(value) })
    };
    ["web:1", "web:2"].into_iter().filter_map(deed).collect()
}

fn taints(snapshot: &Snapshot) -> Vec<Deed> {
    let Some(node) = snapshot.get(&ObjectKey::cluster(NODES, "a")).map(|node| node.value()) else { return Vec::new() };
    let deed = |effect: Option<&str>| {
        let mut value = node.clone();
        value["spec"]["taints"] = effect.map_or(json!([]), |effect| json!([{"key": "gpu", "effect": effect}]));
        let what = format!("a is tainted {}", effect.unwrap_or("with nothing"));
        (value["spec"]["taints"] != node["spec"]["taints"]).then_some(Deed { what, edit: Edit::Update(value) })
    };
    [None, Some("NoExecute")].into_iter().filter_map(deed).collect()
}

fn orphan() -> Deed {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "orphan-", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "a"},
    });
    Deed { what: "an orphan appears".into(), edit: Edit::Create(object) }
}

fn relabelled(pod: &Object) -> Deed {
    let mut value = pod.value();
    value["metadata"]["labels"]["app"] = json!("other");
    actors::deed(pod, "is relabelled", Edit::Update(value))
}

fn is_matching(pod: &Object) -> bool {
    pod.metadata().labels.get("app").is_some_and(|app| &**app == "web")
}

/// The set, where it is not being deleted.
fn wanted(snapshot: &Snapshot) -> Option<Value> {
    snapshot.get(&web()).filter(|set| !set.metadata().is_terminating()).map(|set| set.value())
}

/// The set's own pods, with the nodes they are meant for.
fn own(snapshot: &Snapshot) -> Vec<(String, Arc<Object>)> {
    let uid = snapshot.get(&web()).map(|set| set.metadata().uid.clone());
    let is_own = |pod: &&Arc<Object>| pod.metadata().controller().map(|owner| &owner.uid) == uid.as_ref();
    actors::pods(snapshot).filter(is_own).map(|pod| (node_of(&pod.value()), pod.clone())).collect()
}

fn node_of(pod: &Value) -> String {
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let named = &terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0];
    pod["spec"]["nodeName"].as_str().or(named.as_str()).unwrap_or_default().to_owned()
}

fn every_node_has_its_pod(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    if wanted(snapshot).is_none() || actors::pods(snapshot).any(|pod| !actors::is_alive(pod)) {
        return Ok(());
    }
    if is_surging(snapshot) {
        return Ok(());
    }
    let mut found: Vec<String> = own(snapshot).into_iter().map(|(node, _)| node).collect();
    found.sort();
    let nodes: Vec<String> = snapshot.list(NODES, None, None).map(|node| node.key().name.to_string()).collect();
    if found == nodes { Ok(()) } else { Err(format!("pods on {found:?}, wanted on {nodes:?}")) }
}

/// Whether a node waits with two pods for the second to become ready.
fn is_surging(snapshot: &Snapshot) -> bool {
    let surges = wanted(snapshot).is_some_and(|set| set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] == 1);
    surges && own(snapshot).iter().any(|(_, pod)| !actors::is_ready(&pod.value()))
}

fn no_pod_where_it_is_driven_away(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let node = snapshot.get(&ObjectKey::cluster(NODES, "a")).map(|node| node.value()).unwrap_or_default();
    let effect = node["spec"]["taints"][0]["effect"].as_str().unwrap_or_default();
    let pods = own(snapshot).iter().filter(|(_, pod)| actors::is_alive(pod)).count();
    match (wanted(snapshot).is_some(), effect, pods) {
        (false, ..) | (true, "NoExecute", 0) | (true, "", 1) => Ok(()),
        (true, effect, pods) => Err(format!("{pods} pods under taint {effect:?}")),
    }
}

/// Once so many nodes had a ready pod, so many always have.
fn ready_nodes_are(snapshot: &Snapshot, once: u64, least: usize) -> Result<(), String> {
    let Some(set) = wanted(snapshot).filter(|set| set["status"]["numberReady"] == once) else { return Ok(()) };
    let ready = own(snapshot).iter().filter(|(_, pod)| actors::is_ready(&pod.value())).count();
    let told = &set["status"]["numberReady"];
    if ready < least { Err(format!("{ready} pods are ready, {told} were")) } else { Ok(()) }
}

fn every_pod_is_of_the_template(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(set) = wanted(snapshot) else { return Ok(()) };
    let image = "/spec/template/spec/containers/0/image";
    let expect = set.pointer(image);
    let differs = |pod: &Value| pod.pointer("/spec/containers/0/image") != expect;
    let settled = own(snapshot).iter().all(|(_, pod)| actors::is_alive(pod) && actors::is_ready(&pod.value()));
    match own(snapshot).iter().find(|(_, pod)| settled && differs(&pod.value())) {
        Some((node, _)) => Err(format!("the pod on {node} is of another template than {expect:?}")),
        None => Ok(()),
    }
}

fn nothing_is_created_for_the_dying(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let deleted = snapshot.get(&web()).and_then(|set| set.metadata().deletion_timestamp);
    let mut pods = actors::pods(snapshot);
    match pods.any(|pod| deleted.is_some_and(|deleted| pod.metadata().creation_timestamp > deleted)) {
        true => Err("a pod was created".into()),
        false => Ok(()),
    }
}

fn status_tells_what_is(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(set) = snapshot.get(&web()) else { return Ok(()) };
    let value = set.value();
    let told = |field: &str| value["status"][field].as_u64().unwrap_or_default();
    if told("observedGeneration") != set.metadata().generation as u64 {
        return Err(format!("generation {} is observed", told("observedGeneration")));
    }
    let is_tainted = |node: &Object| node.value()["spec"]["taints"][0].is_object();
    let desired: Vec<String> = snapshot
        .list(NODES, None, None)
        .filter(|node| !is_tainted(node))
        .map(|node| node.key().name.to_string())
        .collect();
    let pods: Vec<_> = own(snapshot).into_iter().filter(|(node, _)| desired.contains(node)).collect();
    let ready = pods.iter().filter(|(_, pod)| actors::is_ready(&pod.value())).count() as u64;
    for (field, expect) in [("desiredNumberScheduled", desired.len() as u64), ("numberReady", ready)] {
        // While a node has two pods, one of them speaks for it.
        if told(field) != expect && pods.len() <= desired.len() {
            return Err(format!("status.{field} is {}, should be {expect}", told(field)));
        }
    }
    Ok(())
}
