//! Resource quotas under proof: what they count comes and goes.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::ObjectKey;
use sampan_core::operator::Operator;
use sampan_core::resource::{CONFIG_MAPS, PODS, RESOURCE_QUOTAS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::QuotaOperator;

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(QuotaOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    Suite::of(operator)
        .beside(config_map("map-1"))
        .spec("two maps", quota(json!({"hard": {"configmaps": "2"}})))
        .spec("no maps", quota(json!({"hard": {"count/configmaps": "0"}})))
        .spec("pods", quota(json!({"hard": {"pods": "3", "requests.cpu": "1"}})))
        .at_rest("what is used is what is there", used_is_what_is_there)
        .world(of_maps)
        .world(|world| of_pods(world, "pods", json!({"hard": {"pods": "1", "requests.cpu": "1"}})))
        .world(|world| of_pods(world, "best effort", json!({"hard": {"pods": "2"}, "scopes": ["BestEffort"]})))
}

fn quota(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "bounds", "namespace": "default"},
        "spec": spec})
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}})
}

/// A pod that asks for half a processor.
fn pod(name: &str) -> Value {
    let resources = json!({"requests": {"cpu": "500m"}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

/// Creates two objects and deletes one, in any order.
fn user(what: &'static str, make: fn(&str) -> Value) -> Actor {
    actors::rare(3, "user", move |snapshot, _| {
        let kind = make(what)["kind"] == "Pod";
        let resource = if kind { PODS } else { CONFIG_MAPS };
        let key = |name: &str| ObjectKey::namespaced(resource, "default", name);
        let (first, second) = (format!("{what}-1"), format!("{what}-2"));
        let missing = [&first, &second].into_iter().find(|name| snapshot.get(&key(name)).is_none());
        let created = missing.map(|name| Deed { what: format!("{name} is created"), edit: Edit::Create(make(name)) });
        let deleted = snapshot.get(&key(&first)).map(|one| actors::deed(one, "is deleted", Edit::Delete(key(&first))));
        created.into_iter().chain(deleted).collect()
    })
}

/// Maps come and go, and one may be there.
fn of_maps(mut world: World) -> World {
    "maps".clone_into(&mut world.name);
    world.holding(quota(json!({"hard": {"configmaps": "2"}}))).with(user("map", config_map))
}

/// Pods come, end, and go.
fn of_pods(mut world: World, name: &str, spec: Value) -> World {
    name.clone_into(&mut world.name);
    world.holding(quota(spec)).with(user("pod", pod)).with(actors::failing(1))
}

/// Counted anew: pods that have not ended, and maps.
fn used_is_what_is_there(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(quota) = snapshot.get(&ObjectKey::namespaced(RESOURCE_QUOTAS, "default", "bounds")) else { return Ok(()) };
    let quota = quota.value();
    let is_scoped = quota["spec"]["scopes"].is_array();
    let runs = |pod: &Value| !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let pods = actors::pods(snapshot).filter(|pod| runs(&pod.value()) && !is_scoped).count();
    let maps =
        snapshot.list(CONFIG_MAPS, Some("default"), None).filter(|map| &*map.key().name != "kube-root-ca.crt").count();
    for (of, _) in quota["spec"]["hard"].as_object().into_iter().flatten() {
        let expected = match of.as_str() {
            "pods" => pods.to_string(),
            "requests.cpu" if pods == 1 => "500m".to_owned(),
            "requests.cpu" => (pods / 2).to_string(),
            _ => maps.to_string(),
        };
        if quota["status"]["used"][of] != json!(expected) {
            return Err(format!("used {of} is {}, should be {expected:?}", quota["status"]["used"][of]));
        }
    }
    match quota["status"]["hard"] == quota["spec"]["hard"] {
        true => Ok(()),
        false => Err(format!("the limits told are {}", quota["status"]["hard"])),
    }
}
