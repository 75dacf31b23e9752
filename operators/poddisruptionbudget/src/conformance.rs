//! Disruption budgets under proof: pods come, lose their readiness, are deleted; their controllers are scaled.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Operator;
use sampan_core::resource::{POD_DISRUPTION_BUDGETS, STATEFUL_SETS};
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::BudgetOperator;

/// Pods the StatefulSet of these worlds has at first.
const PODS: usize = 2;

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(BudgetOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    Suite::of(operator)
        .beside(stateful_set())
        .neighbour(controller())
        .neighbour(actors::kubelet())
        .incidental(|object| {
            let conditions = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
            for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
                condition.remove("lastTransitionTime");
                condition.remove("observedGeneration");
            }
            true
        })
        .remembering(&["/conditions", "/disruptedPods"])
        .spec("one may be missing", budget(json!({"maxUnavailable": 1, "selector": web()})))
        .spec("half must stay", budget(json!({"minAvailable": "50%", "selector": web()})))
        .spec("two must stay", budget(json!({"minAvailable": 2, "selector": web()})))
        .spec("of nobody", budget(json!({"minAvailable": 1})))
        .at_rest("the status is what the pods are", status_is_what_pods_are)
        .world(flaky)
        .world(scaled)
        .world(by_hand)
        .world(of_someone_unknown)
        .world(evicted)
}

fn web() -> Value {
    json!({"matchLabels": {"app": "web"}})
}

fn budget(spec: Value) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "default"},
        "spec": spec})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web"}]}})
}

fn stateful_set() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": PODS, "serviceName": "web", "selector": web(), "template": template()}})
}

/// A pod of its own, or of somebody.
fn pod(name: &str, owner: Option<Value>) -> Value {
    let mut pod = template();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = json!("default");
    if let Some(owner) = owner {
        pod["metadata"]["ownerReferences"] = json!([owner]);
    }
    pod
}

fn owner(api_version: &str, kind: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": "web", "uid": uid, "controller": true})
}

fn set(snapshot: &Snapshot) -> Option<&Arc<Object>> {
    snapshot.get(&ObjectKey::namespaced(STATEFUL_SETS, "default", "web"))
}

fn web_budget(snapshot: &Snapshot) -> Option<&Arc<Object>> {
    snapshot.get(&ObjectKey::namespaced(POD_DISRUPTION_BUDGETS, "default", "web"))
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// Keeps as many pods as the StatefulSet says.
fn controller() -> Actor {
    actors::helper("controller", |snapshot, _| {
        let Some(set) = set(snapshot) else { return Vec::new() };
        let wanted = set.value()["spec"]["replicas"].as_u64().unwrap_or_default();
        let missing = (0..wanted)
            .map(|at| format!("web-{at}"))
            .find(|name| actors::pods(snapshot).all(|pod| *pod.key().name != **name));
        let create = |name: String| {
            let owner = owner("apps/v1", "StatefulSet", set.metadata().uid.as_str());
            Deed { what: format!("{name} appears"), edit: Edit::Create(pod(&name, Some(owner))) }
        };
        missing.map(create).into_iter().collect()
    })
}

/// Pods lose their readiness, and get it back.
fn flaky(world: World) -> World {
    named(world, "flaky")
        .holding(budget(json!({"minAvailable": 1, "selector": web()})))
        .holding(pod("web-0", None))
        .holding(pod("web-1", None))
        .with(actors::kubelet())
        .with(actors::flaky(2))
}

/// The StatefulSet is told to keep more pods.
fn scaled(world: World) -> World {
    named(world, "scaled")
        .holding(budget(json!({"maxUnavailable": "50%", "selector": web()})))
        .holding(stateful_set())
        .with(controller())
        .with(actors::kubelet())
        .actor_times(1, "user", |snapshot, _| {
            let grown = |set: &Object| {
                let mut grown = set.value();
                grown["spec"]["replicas"] = json!(PODS + 1);
                actors::deed(set, "grows", Edit::Update(grown))
            };
            set(snapshot).map(|set| grown(set)).into_iter().collect()
        })
}

/// Nobody controls the pods.
fn by_hand(world: World) -> World {
    named(world, "pods of nobody")
        .holding(budget(json!({"maxUnavailable": 1, "selector": web()})))
        .holding(pod("alone", None))
        .with(actors::kubelet())
        .with(actors::user_who_deletes_pods(1))
}

/// Whoever controls the pods is unknown, until they are deleted.
fn of_someone_unknown(world: World) -> World {
    named(world, "pods of somebody unknown")
        .holding(budget(json!({"maxUnavailable": 1, "selector": web()})))
        .holding(pod("odd", Some(owner("example.com/v1", "Web", "1234"))))
        .with(actors::kubelet())
        .with(actors::user_who_deletes_pods(1))
        .with(actors::rare(1, "user", |snapshot, _| {
            let relaxed = |budget: &Object| {
                let mut relaxed = budget.value();
                relaxed["spec"]["maxUnavailable"] = json!(2);
                actors::deed(budget, "is relaxed", Edit::Update(relaxed))
            };
            web_budget(snapshot).map(|budget| relaxed(budget)).into_iter().collect()
        }))
}

/// Somebody says in the status that a pod is being evicted; it goes, or it stays after all.
fn evicted(world: World) -> World {
    named(world, "said to be evicted")
        .holding(budget(json!({"minAvailable": 1, "selector": web()})))
        .holding(pod("web-0", None))
        .holding(pod("web-1", None))
        .with(actors::kubelet())
        .with(actors::user_who_deletes_pods(1))
        .with(actors::rare(1, "evictor", |snapshot, now| {
            let told = |budget: &Object| {
                let since = json!({"web-0": Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()});
                let status = actors::with_status(budget, &[("disruptedPods", since)]);
                actors::deed(budget, "says that web-0 goes", Edit::UpdateStatus(status))
            };
            web_budget(snapshot).map(|budget| told(budget)).into_iter().collect()
        }))
}

/// Told anew from the pods, and from what their controllers mean to keep.
fn status_is_what_pods_are(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(budget) = web_budget(snapshot).map(|budget| budget.value()) else { return Ok(()) };
    let (spec, status) = (&budget["spec"], &budget["status"]);
    let pods: Vec<Value> =
        actors::pods(snapshot).filter(|_| spec["selector"].is_object()).map(|pod| pod.value()).collect();
    let is_of = |kind: &str| pods.iter().any(|pod| pod["metadata"]["ownerReferences"][0]["kind"] == kind);
    let depends = !spec["maxUnavailable"].is_null() || spec["minAvailable"].is_string();
    let is_known = |set: &Object| is_of("StatefulSet") && !set.key().name.is_empty();
    let kept = set(snapshot).filter(|set| is_known(set)).and_then(|set| set.value()["spec"]["replicas"].as_i64());
    if depends && (is_of("Web") || (is_of("StatefulSet") && kept.is_none())) {
        return expect("disruptionsAllowed", status, 0);
    }
    let expected = if depends { kept.unwrap_or(0) } else { i64::try_from(pods.len()).unwrap_or(i64::MAX) };
    let share = |share: &Value| match share.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok()) {
        Some(percent) => (percent * expected + 99) / 100,
        None => share.as_i64().unwrap_or(0),
    };
    let desired = match &spec["maxUnavailable"] {
        Value::Null => share(&spec["minAvailable"]),
        unavailable => (expected - share(unavailable)).max(0),
    };
    let is_said_to_go = |pod: &Value| {
        let since = pod["metadata"]["name"].as_str().and_then(|name| status["disruptedPods"][name].as_str());
        since
            .and_then(|since| since.parse::<Timestamp>().ok())
            .is_some_and(|since| now.duration_since(since).as_secs() < 120)
    };
    let is_healthy =
        |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null() && actors::is_ready(pod) && !is_said_to_go(pod);
    let healthy = i64::try_from(pods.iter().filter(is_healthy).count()).unwrap_or(i64::MAX);
    let allowed = if expected == 0 { 0 } else { (healthy - desired).max(0) };
    expect("expectedPods", status, expected)?;
    expect("desiredHealthy", status, desired)?;
    expect("currentHealthy", status, healthy)?;
    expect("disruptionsAllowed", status, allowed)
}

fn expect(name: &str, status: &Value, value: i64) -> Result<(), String> {
    match status[name] == json!(value) {
        true => Ok(()),
        false => Err(format!("{name} is {}, should be {value}", status[name])),
    }
}
