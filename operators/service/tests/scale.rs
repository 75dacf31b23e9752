//! Many pods and many Services: how many slices there are, how few are written, and who is woken.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::collections::{BTreeMap, BTreeSet};

use sampan_conformance::{Cluster, Edit, World};
use sampan_core::object::{ObjectKey, Revision};
use sampan_core::resource::{ENDPOINT_SLICES, ENDPOINTS, PODS};
use sampan_service::ServiceOperator;
use serde_json::{Value, json};

fn service(name: &str, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": app}, "ports": [{"port": 80}]}})
}

fn pod(index: usize, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{index:04}"), "namespace": "default", "labels": {"app": app, "tier": "front"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "a"}})
}

fn ready(index: usize, app: &str, is_ready: bool) -> Edit {
    let mut pod = pod(index, app);
    let status = if is_ready { "True" } else { "False" };
    pod["status"] = json!({"phase": "Running", "podIP": format!("10.0.{}.{}", index / 250, index % 250 + 1),
        "conditions": [{"type": "Ready", "status": status}]});
    Edit::UpdateStatus(pod)
}

/// A world with so many pods behind the Service `web`.
fn world(pods: usize) -> World {
    let mut world = World::new("scale", |driver| driver.add(ServiceOperator));
    world.initial = (0..pods).map(|index| pod(index, "web")).collect();
    world.initial.push(service("web", "web"));
    world
}

fn started(world: &World, pods: usize) -> Cluster<'_> {
    let mut cluster = Cluster::new(world);
    for index in 0..pods {
        cluster.edit(&ready(index, "web", true)).unwrap();
    }
    assert!(cluster.run_to_rest(1000));
    cluster
}

/// The revision of each slice and the addresses in it.
fn slices(cluster: &Cluster<'_>) -> BTreeMap<String, (Revision, BTreeSet<String>)> {
    let snapshot = cluster.snapshot();
    let of = |value: &Value| {
        let endpoints = value["endpoints"].as_array().into_iter().flatten();
        endpoints.map(|endpoint| endpoint["addresses"][0].as_str().unwrap().to_owned()).collect()
    };
    let slices = snapshot.list(ENDPOINT_SLICES, None, None);
    slices.map(|slice| (slice.key().name.to_string(), (slice.revision(), of(&slice.value())))).collect()
}

/// How many slices differ between two moments.
fn written(before: &BTreeMap<String, (Revision, BTreeSet<String>)>, cluster: &Cluster<'_>) -> usize {
    let after = slices(cluster);
    let gone = before.keys().filter(|name| !after.contains_key(*name)).count();
    gone + after.iter().filter(|(name, slice)| before.get(*name) != Some(slice)).count()
}

#[test]
fn a_slice_holds_a_hundred_and_a_change_of_one_pod_writes_one_slice() {
    let world = world(250);
    let mut cluster = started(&world, 250);
    let sizes = |cluster: &Cluster<'_>| {
        let mut sizes: Vec<usize> = slices(cluster).values().map(|(_, addresses)| addresses.len()).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&cluster), [50, 100, 100]);

    let before = slices(&cluster);
    cluster.edit(&ready(0, "web", false)).unwrap();
    assert!(cluster.run_to_rest(10));
    assert_eq!((sizes(&cluster), written(&before, &cluster)), (vec![50, 100, 100], 1));

    let before = slices(&cluster);
    cluster.edit(&Edit::Remove(ObjectKey::namespaced(PODS, "default", "pod-0003"))).unwrap();
    assert!(cluster.run_to_rest(10));
    assert_eq!(written(&before, &cluster), 1);

    let before = slices(&cluster);
    cluster.edit(&Edit::Create(pod(300, "web"))).unwrap();
    cluster.edit(&ready(300, "web", true)).unwrap();
    assert!(cluster.run_to_rest(10));
    assert_eq!((sizes(&cluster).iter().sum::<usize>(), written(&before, &cluster)), (250, 1));
}

#[test]
fn slices_that_empty_go_and_the_last_stays_to_say_there_is_nothing() {
    let world = world(150);
    let mut cluster = started(&world, 150);
    for index in 0..150 {
        cluster.edit(&Edit::Remove(ObjectKey::namespaced(PODS, "default", &format!("pod-{index:04}")))).unwrap();
    }
    assert!(cluster.run_to_rest(1000));
    let left = slices(&cluster);
    assert_eq!(left.values().map(|(_, addresses)| addresses.len()).collect::<Vec<_>>(), [0]);
}

#[test]
fn the_endpoints_object_holds_a_thousand_and_says_that_there_are_more() {
    let world = world(1001);
    let mut cluster = started(&world, 1001);
    let endpoints = |cluster: &Cluster<'_>| {
        let endpoints = cluster.snapshot().get(&ObjectKey::namespaced(ENDPOINTS, "default", "web")).unwrap().value();
        let count = endpoints["subsets"][0]["addresses"].as_array().unwrap().len();
        let told = endpoints["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"].clone();
        (count, told)
    };
    assert_eq!(endpoints(&cluster), (1000, json!("truncated")));
    assert_eq!(slices(&cluster).values().map(|(_, addresses)| addresses.len()).sum::<usize>(), 1001);
    cluster.edit(&Edit::Remove(ObjectKey::namespaced(PODS, "default", "pod-0500"))).unwrap();
    assert!(cluster.run_to_rest(100));
    assert_eq!(endpoints(&cluster), (1000, Value::Null));
}

#[test]
fn a_pod_wakes_the_services_that_select_it_and_no_others() {
    let mut world = world(1);
    world.initial.extend((0..300).map(|index| service(&format!("other-{index}"), &format!("other-{index}"))));
    let mut both = service("both", "web");
    both["spec"]["selector"]["tier"] = json!("front");
    let mut neither = both.clone();
    neither["metadata"]["name"] = json!("neither");
    neither["spec"]["selector"]["tier"] = json!("back");
    world.initial.extend([both, neither]);
    let mut cluster = started(&world, 1);
    assert_eq!(cluster.driver.queued(), 0);
    cluster.edit(&ready(0, "web", false)).unwrap();
    cluster.hear();
    assert_eq!(cluster.driver.queued(), 2, "`web` and `both`");
}
