//! An eviction and what it costs a disruption budget are one commit.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{
    Action, DeleteOptions, Gateway, Identity, Mutation, Options, Prepared, Subresource, SystemAuthorizer, Target,
};
use sampan_core::object::{Draft, ObjectKey, Revision};
use sampan_core::resource::{POD_DISRUPTION_BUDGETS, PODS, Registry, builtin};
use sampan_core::status::Status;
use sampan_core::store::{Origin, Precondition, Put, Snapshot};
use serde_json::{Value, json};

/// What evicting the pod leads to, beside a budget that allows so many.
fn evicted(pod_status: Value, allowed: i64) -> Result<Prepared, Status> {
    let mut registry = Registry::default();
    builtin().into_iter().for_each(|definition| registry.register(definition));
    let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), Vec::new());
    let pod = json!({"metadata": {"name": "web-0", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web"}}, "spec": {"nodeName": "here", "terminationGracePeriodSeconds": 30},
        "status": pod_status});
    let budget = json!({"metadata": {"name": "web", "uid": "2", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 1}});
    let draft = |resource, name: &str, value: Value| {
        let fields = gateway.registry().definition(resource).unwrap().index_values(&value);
        Draft::new(ObjectKey::namespaced(resource, "team", name), value, fields).unwrap()
    };
    let snapshot = Snapshot::of(vec![draft(PODS, "web-0", pod), draft(POD_DISRUPTION_BUDGETS, "web", budget)]);
    let mutation = Mutation {
        identity: Identity::new("admin", &["system:masters"]),
        origin: Origin::System { purpose: "test".into() },
        target: Target {
            served: gateway.registry().served("", "v1", "pods").unwrap(),
            namespace: Some("team".into()),
            name: Some("web-0".into()),
            subresource: Subresource::Named("eviction"),
        },
        action: Action::Evict(DeleteOptions::default()),
        options: Options::default(),
    };
    gateway.prepare(&snapshot, "2026-01-01T00:00:00Z".parse().unwrap(), &mut SeededEntropy::new(1), &mutation)
}

fn running(ready: &str) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]})
}

fn puts(prepared: Prepared) -> Vec<(Precondition, Value)> {
    let put = |put| match put {
        Put::Object(draft) => draft.at(Revision(1)).value(),
        _ => Value::Null,
    };
    prepared.write.changes.into_iter().map(|change| (change.precondition, put(change.put))).collect()
}

#[test]
fn an_eviction_spends_of_the_budget_as_it_was_looked_at() {
    let puts = puts(evicted(running("True"), 1).unwrap());
    let [(_, pod), (precondition, budget)] = puts.as_slice() else { panic!("{} changes", puts.len()) };
    let condition = pod["status"]["conditions"].as_array().unwrap().last().unwrap();
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("DisruptionTarget"), &json!("EvictionByEvictionAPI"))
    );
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(matches!(precondition, Precondition::Unchanged(_)));
}

#[test]
fn an_eviction_nothing_is_left_for_is_refused() {
    assert_eq!(evicted(running("True"), 0).unwrap_err().code, 429);
}

#[test]
fn what_disrupts_nobody_costs_nothing() {
    for status in [json!({"phase": "Pending"}), json!({"phase": "Failed"}), running("False")] {
        assert_eq!(puts(evicted(status, 0).unwrap()).len(), 1);
    }
}
