//! A StatefulSet of two thousand million pods is worked at like any other: no step looks at what is not there.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Cluster, Edit, World, actors};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_statefulset::StatefulSetOperator;
use sampan_statefulset::conformance::stateful_set;
use serde_json::json;

#[test]
fn what_is_wanted_may_be_more_than_there_will_ever_be() {
    let mut set = stateful_set(usize::try_from(i32::MAX).expect("a machine of 32 bits or more"), "web:1");
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    set["spec"]["volumeClaimTemplates"] = json!([claim]);
    let world = World::new("huge", |driver| driver.add(StatefulSetOperator)).holding(set);
    let mut cluster = Cluster::new(&world);
    assert!(!cluster.run_to_rest(4), "there is always more to do");
    let pods = actors::pods(&cluster.snapshot()).count();
    assert!((100..1000).contains(&pods), "{pods} pods after a few steps");
    let key = ObjectKey::namespaced(ResourceType::new("apps", "statefulsets"), "default", "web");
    let mut changed = stateful_set(1, "web:2");
    changed["spec"] = json!(cluster.snapshot().get(&key).expect("the set is there").value()["spec"]);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
    cluster.edit(&Edit::Update(changed)).expect("the template may change");
    cluster.run_to_rest(4);
}
