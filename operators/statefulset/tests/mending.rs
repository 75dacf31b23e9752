//! A pod that is not ready when a new template comes: one that was never ready is replaced at once, one that was is waited for.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Cluster, Edit, World};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::PODS;
use sampan_statefulset::StatefulSetOperator;
use sampan_statefulset::conformance::stateful_set;
use serde_json::{Value, json};

/// Whether the only pod is replaced by a new template, when its readiness changed to `ready` in that second of the clock and its
/// container was started in the tenth.
fn is_replaced(policy: &str, (ready, changed): (&str, u8)) -> bool {
    let mut set = stateful_set(1, "web:1");
    set["spec"]["podManagementPolicy"] = json!(policy);
    let world = World::new("mending", |driver| driver.add(StatefulSetOperator)).holding(set);
    let mut cluster = Cluster::new(&world);
    cluster.run_to_rest(10);
    let pod = ObjectKey::namespaced(PODS, "default", "web-0");
    let mut made = object(&cluster, &pod);
    made["status"]["conditions"] = json!([
        {"type": "Ready", "status": ready, "lastTransitionTime": format!("2026-01-01T00:00:{changed}Z")}]);
    made["status"]["containerStatuses"] = json!([{"name": "web", "image": "web:1", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}}]);
    cluster.edit(&Edit::UpdateStatus(made)).expect("the status is taken");
    let key = ObjectKey::namespaced(ResourceType::new("apps", "statefulsets"), "default", "web");
    let mut changed = object(&cluster, &key);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
    cluster.edit(&Edit::Update(changed)).expect("the template may change");
    cluster.run_to_rest(10);
    cluster.snapshot().get(&pod).is_none_or(|pod| pod.metadata().is_terminating())
}

fn object(cluster: &Cluster<'_>, key: &ObjectKey) -> Value {
    cluster.snapshot().get(key).expect("it is there").value()
}

#[test]
fn one_that_was_ready_is_waited_for_in_an_ordered_set() {
    assert!(is_replaced("OrderedReady", ("False", 10)), "it was never ready");
    assert!(!is_replaced("OrderedReady", ("False", 20)), "it was ready, as in Kubernetes");
    assert!(is_replaced("Parallel", ("False", 20)), "nobody waits for it");
    assert!(is_replaced("OrderedReady", ("True", 20)), "it is ready, and its turn");
}
