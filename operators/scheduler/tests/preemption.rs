//! Who gives way to whom, and who does not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Cluster, Edit, World};
use sampan_core::object::ObjectKey;
use sampan_core::resource::PODS;
use sampan_scheduler::Scheduler;
use serde_json::{Value, json};

/// A pod that stands on a node: its name, node, class and CPU.
type Standing = (&'static str, &'static str, &'static str, &'static str);

fn class(name: &str, value: i64, policy: &str) -> Value {
    json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
        "preemptionPolicy": policy})
}

fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": "z"}},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod((name, node, class, cpu): Standing) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"name": name}},
        "spec": {"nodeName": node, "priorityClassName": class,
            "containers": [{"name": "c", "image": "c:1", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn world(standing: &[Standing], incoming: Value) -> World {
    let mut world = World::new("preemption", |driver| driver.add(Scheduler::default()));
    world.initial = vec![
        class("high", 1000, "PreemptLowerPriority"),
        class("patient", 1000, "Never"),
        class("middle", 100, "PreemptLowerPriority"),
        class("low", 10, "PreemptLowerPriority"),
        node("amber"),
        node("birch"),
    ];
    world.initial.extend(standing.iter().map(|standing| pod(*standing)));
    world.initial.push(incoming);
    world
}

/// Who is going, and what the pod `incoming` says.
fn outcome(cluster: &mut Cluster<'_>) -> (Vec<String>, Value) {
    assert!(cluster.run_to_rest(100));
    let snapshot = cluster.snapshot();
    let going: Vec<_> = snapshot.list(PODS, None, None).filter(|pod| pod.metadata().is_terminating()).collect();
    for pod in &going {
        let reason = json!("PreemptionByScheduler");
        assert!(pod.value()["status"]["conditions"].as_array().unwrap().iter().any(|it| it["reason"] == reason));
    }
    let going = going.iter().map(|pod| pod.key().name.to_string()).collect();
    (going, snapshot.get(&ObjectKey::namespaced(PODS, "default", "incoming")).unwrap().value())
}

fn check(standing: &[Standing], incoming: Value, victims: &[&str], expected: &str) {
    let world = world(standing, incoming);
    let (going, incoming) = outcome(&mut Cluster::new(&world));
    assert_eq!(going, victims, "{standing:?}");
    match victims {
        [] => assert_eq!(incoming["status"]["conditions"][0]["message"], expected),
        _ => assert_eq!(incoming["status"]["nominatedNodeName"], expected, "{standing:?}"),
    }
}

fn incoming(class: &'static str, cpu: &'static str) -> Value {
    pod(("incoming", "", class, cpu))
}

#[test]
fn as_few_and_as_unimportant_as_can_be_give_way() {
    // The least important node is taken, though more give way there.
    let standing = [("a", "amber", "middle", "1500m"), ("b1", "birch", "low", "1"), ("b2", "birch", "low", "1")];
    check(&standing, incoming("high", "2"), &["b1", "b2"], "birch");
    // Who can stay does: the more important first.
    let standing = [("a1", "amber", "low", "1"), ("a2", "amber", "middle", "1"), ("b", "birch", "high", "2")];
    check(&standing, incoming("high", "1"), &["a1"], "amber");
    // Of equals the node is taken where fewer go.
    let standing = [("a1", "amber", "low", "1"), ("a2", "amber", "low", "1"), ("b", "birch", "low", "2")];
    check(&standing, incoming("high", "2"), &["b"], "birch");
}

#[test]
fn of_those_who_wait_the_most_important_is_first() {
    let waiting = [("a", "", "low", "2"), ("b", "", "middle", "2"), ("c", "", "high", "2"), ("d", "", "high", "2")];
    let mut world = world(&waiting, pod(("incoming", "", "middle", "2")));
    world.initial.retain(|object| object["kind"] != "Node");
    let mut cluster = Cluster::new(&world);
    assert!(cluster.run_to_rest(100));
    cluster.edit(&Edit::Create(node("amber"))).unwrap();
    let (going, _) = outcome(&mut cluster);
    assert_eq!(going, Vec::<String>::new(), "who is less important has to make room again");
    let snapshot = cluster.snapshot();
    let placed =
        snapshot.list(PODS, None, None).filter(|pod| pod.field("spec.nodeName").is_some_and(|it| !it.is_empty()));
    assert_eq!(placed.map(|pod| pod.key().name.to_string()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn nobody_gives_way_to_his_equal_or_to_who_is_patient() {
    let standing = [("a", "amber", "middle", "2"), ("b", "birch", "high", "2")];
    check(
        &standing,
        incoming("middle", "1"),
        &[],
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
    );
    check(
        &standing,
        incoming("patient", "1"),
        &[],
        "0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
    );
    check(
        &standing,
        incoming("high", "3"),
        &[],
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
    );
}

#[test]
fn whom_a_pod_shuns_gives_way_as_well() {
    let mut incoming = incoming("high", "1");
    incoming["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchExpressions": [
            {"key": "name", "operator": "In", "values": ["a", "b"]}]}}]}});
    let standing = [("a", "amber", "low", "100m"), ("other", "amber", "low", "100m"), ("b", "birch", "high", "100m")];
    check(&standing, incoming, &["a"], "amber");
}

#[test]
fn a_budget_is_kept_where_it_can_be() {
    let standing = [("a", "amber", "low", "2"), ("b", "birch", "middle", "2")];
    let mut world = world(&standing, incoming("high", "2"));
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "kept", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"name": "a"}}}});
    world.initial.insert(0, budget);
    assert_eq!(outcome(&mut Cluster::new(&world)).0, ["b"]);
    world.initial[0]["spec"]["selector"] = json!({"matchLabels": {"name": "nobody"}});
    assert_eq!(outcome(&mut Cluster::new(&world)).0, ["a"]);
}

#[test]
fn room_that_was_made_is_kept_for_whom_it_was_made() {
    let mut world = world(&[("a", "amber", "low", "2"), ("b", "birch", "high", "2")], incoming("high", "2"));
    world.initial.push(pod(("thief", "", "middle", "2")));
    let mut cluster = Cluster::new(&world);
    assert_eq!(outcome(&mut cluster).0, ["a"]);
    cluster.edit(&Edit::Remove(ObjectKey::namespaced(PODS, "default", "a"))).unwrap();
    let (going, incoming) = outcome(&mut cluster);
    assert_eq!((going.len(), &incoming["spec"]["nodeName"]), (0, &json!("amber")));
    assert_eq!(incoming["status"].get("nominatedNodeName"), None);
}
