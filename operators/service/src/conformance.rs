//! Services under proof: their specs, the pods, nodes and users around them, and their laws.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::resource::{ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::ServiceOperator;

/// What the specs look like: name, and spec.
fn specs() -> [(&'static str, Value); 4] {
    let port = |target: Value| json!([{"port": 80, "targetPort": target}]);
    [
        ("plain", json!({"selector": {"app": "web"}, "ports": port(json!(8080))})),
        (
            "balanced",
            json!({"type": "LoadBalancer", "selector": {"app": "web"}, "ports": port(json!("http")),
                "publishNotReadyAddresses": true, "externalTrafficPolicy": "Local"}),
        ),
        ("bare", json!({"ports": port(json!(8080))})),
        ("elsewhere", json!({"type": "ExternalName", "externalName": "db.example.com"})),
    ]
}

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(ServiceOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    let suite = specs().into_iter().fold(Suite::of(operator), |suite, (name, spec)| suite.spec(name, service(&spec)));
    suite
        .beside(node("a", "east"))
        .beside(pod("one", "10.0.0.1"))
        .neighbour(kubelet())
        .always("no pod is in two slices", no_pod_is_in_two_slices)
        .at_rest("the slices hold the pods", slices_hold_the_pods)
        .at_rest("the Endpoints object holds the pods", endpoints_hold_the_pods)
        .at_rest("a balancer is reached at nodes with a pod that is ready", balancers_are_reached)
        .at_rest("what others list is copied", copies_are_true)
        .incidental(drawn_by_lot)
        .lagging_behind(&[PODS, NODES])
        .touching(|object, primary| {
            [ENDPOINT_SLICES, ENDPOINTS].contains(&object.key().resource) && object.key().namespace == primary.namespace
        })
        .world(churning)
        .world(dwindling)
        .world(moved)
        .world(copied)
        .world(meddled)
        .world(governed)
}

/// Addresses and ports are drawn, and when something was last changed tells its history.
fn drawn_by_lot(object: &mut Value) -> bool {
    let spec = object.get_mut("spec").and_then(Value::as_object_mut);
    if let Some(spec) = spec.filter(|spec| spec.contains_key("ports")) {
        for field in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
            spec.remove(field);
        }
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            port.as_object_mut().map(|port| port.remove("nodePort"));
        }
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(crate::packing::TRIGGERED);
    }
    forget_uids(object);
    true
}

fn forget_uids(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(forget_uids),
        Value::Object(fields) => {
            if let Some(target) = fields.get_mut("targetRef").and_then(Value::as_object_mut) {
                target.remove("uid");
            }
            fields.values_mut().for_each(forget_uids);
        }
        _ => {}
    }
}

/// The Service of every world.
pub fn service(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "spec": spec,
        "metadata": {"name": "web", "namespace": "default", "labels": {"team": "blue"}}})
}

/// A pod on node `a` that will have this address.
pub fn pod(name: &str, address: &str) -> Value {
    let container = json!({"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default",
        "labels": {"app": "web"}, "annotations": {"address": address}},
        "spec": {"containers": [container], "nodeName": "a", "hostname": name, "subdomain": "web"}})
}

fn node(name: &str, zone: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn key(resource: ResourceType) -> ObjectKey {
    ObjectKey::namespaced(resource, "default", "web")
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

fn large(mut world: World) -> World {
    world.is_large = true;
    world
}

/// Gives pods an address, makes them ready, and lets go of those that are deleted.
fn kubelet() -> Actor {
    actors::helper("kubelet", |snapshot, now| {
        let started = actors::pods(snapshot).filter(|pod| actors::is_alive(pod) && address_of(&pod.value()).is_empty());
        let started: Vec<Deed> = started.map(|pod| with_address(pod)).collect();
        let is_started = |deed: &Deed| !started.iter().any(|other| target(&other.edit) == target(&deed.edit));
        let ready: Vec<Deed> = actors::become_ready(snapshot, now).into_iter().filter(is_started).collect();
        [started, ready, actors::end(snapshot)].concat()
    })
}

fn target(edit: &Edit) -> Option<&Value> {
    match edit {
        Edit::UpdateStatus(object) => Some(&object["metadata"]["name"]),
        _ => None,
    }
}

fn with_address(pod: &Object) -> Deed {
    let address = pod.value()["metadata"]["annotations"]["address"].clone();
    let value = actors::with_status(
        pod,
        &[("phase", json!("Running")), ("podIP", address.clone()), ("podIPs", json!([{"ip": address}]))],
    );
    actors::deed(pod, "gets its address", Edit::UpdateStatus(value))
}

fn address_of(pod: &Value) -> &str {
    pod["status"]["podIP"].as_str().unwrap_or_default()
}

fn selecting(world: World, name: &str) -> World {
    named(world, name).holding(node("a", "east")).with(kubelet())
}

/// Pods come, lose their readiness, and get other labels.
fn churning(world: World) -> World {
    let [(_, plain), ..] = specs();
    large(selecting(world, "churning"))
        .holding(service(&plain))
        .holding(pod("one", "10.0.0.1"))
        .with(actors::rare(1, "user", |snapshot, _| {
            let relabelled = actors::pods(snapshot).map(|pod| {
                let mut value = pod.value();
                value["metadata"]["labels"]["app"] = json!("other");
                actors::deed(pod, "is relabelled", Edit::Update(value))
            });
            let another = Deed { what: "another pod comes".into(), edit: Edit::Create(pod("two", "10.0.0.2")) };
            relabelled.chain([another]).collect()
        }))
        .with(actors::flaky(1))
}

/// Pods fail and are deleted.
fn dwindling(world: World) -> World {
    let [(_, plain), ..] = specs();
    large(selecting(world, "dwindling"))
        .holding(service(&plain))
        .holding(pod("one", "10.0.0.1"))
        .with(actors::user_who_deletes_pods(1))
        .with(actors::failing(1))
}

/// A node turns out to be in another zone, and out of order, under a balancer that prefers near pods.
fn moved(world: World) -> World {
    let [_, (_, mut balanced), ..] = specs();
    balanced["trafficDistribution"] = json!("PreferSameZone");
    selecting(world, "moved").holding(service(&balanced)).holding(pod("one", "10.0.0.1")).with(actors::rare(
        1,
        "administrator",
        |snapshot, _| {
            let Some(found) = snapshot.get(&ObjectKey::cluster(NODES, "a")) else { return Vec::new() };
            let mut west = found.value();
            west["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!("west");
            let broken = json!([{"type": "Ready", "status": "False"}]);
            vec![
                actors::deed(found, "is in the west", Edit::Update(west)),
                actors::deed(
                    found,
                    "is out of order",
                    Edit::UpdateStatus(actors::with_status(found, &[("conditions", broken)])),
                ),
            ]
        },
    ))
}

/// Somebody lists the endpoints of a Service without a selector by hand.
fn copied(world: World) -> World {
    let [_, _, (_, bare), _] = specs();
    named(world, "copied").holding(service(&bare)).with(actors::rare(2, "user", |snapshot, _| {
        let listed = |address: &str, labels: Value| {
            json!({"apiVersion": "v1", "kind": "Endpoints",
                "metadata": {"name": "web", "namespace": "default", "labels": labels},
                "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "db", "port": 5432}]}]})
        };
        let Some(found) = snapshot.get(&key(ENDPOINTS)) else {
            let created = listed("10.1.0.1", json!({"by": "hand"}));
            return vec![Deed { what: "endpoints are listed".into(), edit: Edit::Create(created) }];
        };
        let mut deeds = vec![actors::deed(found, "are deleted", Edit::Delete(key(ENDPOINTS)))];
        let skipping = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
        for (what, address, labels) in
            [("are elsewhere", "10.1.0.2", json!({})), ("are not to be copied", "10.1.0.1", skipping)]
        {
            let mut other = listed(address, labels);
            other["metadata"]["resourceVersion"] = json!(found.revision().to_string());
            deeds.push(actors::deed(found, what, Edit::Update(other)));
        }
        deeds
    }))
}

/// Somebody changes and deletes what is published.
fn meddled(world: World) -> World {
    let [(_, plain), ..] = specs();
    large(selecting(world, "meddled")).holding(service(&plain)).holding(pod("one", "10.0.0.1")).with(actors::rare(
        1,
        "stranger",
        |snapshot, _| {
            let published = slices(snapshot).chain(snapshot.get(&key(ENDPOINTS)));
            let spoilt = published.flat_map(|object| {
                let mut emptied = object.value();
                emptied["endpoints"] = json!([]);
                emptied["subsets"] = json!([]);
                if object.key().resource == ENDPOINTS {
                    emptied.as_object_mut().map(|fields| fields.remove("endpoints"));
                } else {
                    emptied.as_object_mut().map(|fields| fields.remove("subsets"));
                }
                let mut relabelled = object.value();
                relabelled["metadata"]["labels"]["team"] = json!("red");
                [
                    actors::deed(object, "is emptied", Edit::Update(emptied)),
                    actors::deed(object, "is relabelled", Edit::Update(relabelled)),
                    actors::deed(object, "is deleted", Edit::Delete(object.key().clone())),
                ]
            });
            spoilt.collect()
        },
    ))
}

/// A Service without an address governs pods with names of their own, is deleted and held.
fn governed(world: World) -> World {
    let mut headless = service(&json!({"clusterIP": "None", "selector": {"app": "web"}}));
    headless["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let deleted = |_: &Snapshot, _| vec![Deed { what: "web is deleted".into(), edit: Edit::Delete(key(SERVICES)) }];
    selecting(world, "governed")
        .holding(headless)
        .holding(pod("one", "10.0.0.1"))
        .with(actors::rare(1, "user", deleted))
        .with(actors::flaky(1))
}

fn slices(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Object>> {
    snapshot.list(ENDPOINT_SLICES, Some("default"), None)
}

fn no_pod_is_in_two_slices(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for slice in slices(snapshot) {
        for endpoint in slice.value()["endpoints"].as_array().into_iter().flatten() {
            let address = endpoint["addresses"][0].to_string();
            if !seen.insert(address.clone()) {
                return Err(format!("{address} is in two slices"));
            }
        }
    }
    Ok(())
}

/// What is to be said of the pods: by address, whether each is ready, takes connections and is on its way out.
type Told = BTreeMap<String, (bool, bool, bool)>;

fn pods_as_they_are(snapshot: &Snapshot, service: &Value) -> Told {
    let publishes = service["spec"]["publishNotReadyAddresses"] == true;
    let selected =
        actors::pods(snapshot).filter(|pod| pod.metadata().labels.get("app").is_some_and(|app| &**app == "web"));
    let told = selected.filter_map(|pod| {
        let value = pod.value();
        let has_ended = matches!(value["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        let (serving, leaving) = (actors::is_ready(&value), pod.metadata().is_terminating());
        let address = address_of(&value).to_owned();
        (!has_ended && !address.is_empty()).then_some((address, (publishes || (serving && !leaving), serving, leaving)))
    });
    told.collect()
}

fn slices_as_written(snapshot: &Snapshot) -> Told {
    let values: Vec<Value> = slices(snapshot).map(|slice| slice.value()).collect();
    let endpoints = values.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    let told = endpoints.map(|endpoint| {
        let condition = |name: &str| endpoint["conditions"][name] == true;
        let address = endpoint["addresses"][0].as_str().unwrap_or_default().to_owned();
        (address, (condition("ready"), condition("serving"), condition("terminating")))
    });
    told.collect()
}

/// The Service, where it selects pods and stays.
fn selecting_service(snapshot: &Snapshot) -> Option<Value> {
    let service = snapshot.get(&key(SERVICES)).filter(|service| !service.metadata().is_terminating())?.value();
    (service["spec"]["type"] != "ExternalName" && service["spec"]["selector"].is_object()).then_some(service)
}

fn slices_hold_the_pods(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(service) = selecting_service(snapshot) else { return Ok(()) };
    let (expected, found) = (pods_as_they_are(snapshot, &service), slices_as_written(snapshot));
    if expected != found {
        return Err(format!("the slices say {found:?}, the pods {expected:?}"));
    }
    let is_headless = service["spec"]["clusterIP"] == "None";
    for slice in slices(snapshot).map(|slice| slice.value()) {
        let labels = &slice["metadata"]["labels"];
        let says_so = labels["service.kubernetes.io/headless"].is_string() == is_headless;
        if labels["kubernetes.io/service-name"] != "web" || labels["team"] != "blue" || !says_so {
            return Err(format!("a slice is labelled {labels}"));
        }
        let zone = snapshot.get(&ObjectKey::cluster(NODES, "a")).map(|node| node.value());
        let zone = zone.map(|node| node["metadata"]["labels"]["topology.kubernetes.io/zone"].clone());
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if Some(&endpoint["zone"]) != zone.as_ref() || endpoint["nodeName"] != "a" {
                return Err(format!("an endpoint is on {} in {}", endpoint["nodeName"], endpoint["zone"]));
            }
            if endpoint["hostname"] != endpoint["targetRef"]["name"] {
                return Err(format!("{} is called {}", endpoint["targetRef"]["name"], endpoint["hostname"]));
            }
        }
    }
    match slices(snapshot).count() {
        0 => Err("no slice says that there is nothing".into()),
        _ => Ok(()),
    }
}

fn endpoints_hold_the_pods(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(service) = selecting_service(snapshot) else { return Ok(()) };
    let publishes = service["spec"]["publishNotReadyAddresses"] == true;
    let mut expected = (BTreeSet::new(), BTreeSet::new());
    for (address, (ready, _, leaving)) in pods_as_they_are(snapshot, &service) {
        match (ready, leaving && !publishes) {
            (_, true) => false,
            (true, _) => expected.0.insert(address),
            (false, _) => expected.1.insert(address),
        };
    }
    let Some(endpoints) = snapshot.get(&key(ENDPOINTS)).map(|endpoints| endpoints.value()) else {
        return Err("there is no Endpoints object".into());
    };
    let listed = |list: &str| -> BTreeSet<String> {
        let subsets = endpoints["subsets"].as_array().into_iter().flatten();
        let addresses = subsets.flat_map(|subset| subset[list].as_array().into_iter().flatten());
        addresses.filter_map(|address| Some(address["ip"].as_str()?.to_owned())).collect()
    };
    let found = (listed("addresses"), listed("notReadyAddresses"));
    if found == expected { Ok(()) } else { Err(format!("Endpoints hold {found:?}, should hold {expected:?}")) }
}

fn balancers_are_reached(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(service) = selecting_service(snapshot).filter(|it| it["spec"]["type"] == "LoadBalancer") else {
        return Ok(());
    };
    let node = snapshot.get(&ObjectKey::cluster(NODES, "a")).map(|node| node.value());
    let works = node.is_some_and(|node| node["status"]["conditions"][0]["status"] == "True");
    let has_pod = pods_as_they_are(snapshot, &service).values().any(|(ready, ..)| *ready);
    let expected = if works && has_pod { json!("192.0.2.1") } else { Value::Null };
    match &service["status"]["loadBalancer"]["ingress"][0]["ip"] {
        found if *found == expected => Ok(()),
        found => Err(format!("it is reached at {found}, should be at {expected}")),
    }
}

fn copies_are_true(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(service) = snapshot.get(&key(SERVICES)).map(|service| service.value()) else { return Ok(()) };
    if service["spec"]["selector"].is_object() || service["spec"]["type"] == "ExternalName" {
        return Ok(());
    }
    let endpoints = snapshot.get(&key(ENDPOINTS)).map(|endpoints| endpoints.value());
    let skips = "endpointslice.kubernetes.io/skip-mirror";
    let endpoints = endpoints.filter(|endpoints| endpoints["metadata"]["labels"][skips] != "true");
    let expected: Vec<Value> = endpoints.iter().map(|it| it["subsets"][0]["addresses"][0]["ip"].clone()).collect();
    let found: Vec<Value> =
        slices(snapshot).map(|slice| slice.value()["endpoints"][0]["addresses"][0].clone()).collect();
    if found == expected { Ok(()) } else { Err(format!("copied are {found:?}, listed {expected:?}")) }
}
