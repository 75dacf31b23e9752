//! An owner is let go only while nobody new names it: what was counted guards what is committed.

use sampan_conformance::{Cluster, Edit, Moved, World};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_garbagecollector::GarbageCollector;
use serde_json::{Value, json};

const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", name)
}

fn map(name: &str, finalizers: &Value, owners: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "finalizers": finalizers, "ownerReferences": owners},
    })
}

/// A dependent comes between the look at an owner without any and the commit that lets the owner go.
fn dependent_comes_while_its_owner_is_let_go(finalizer: &str) -> Vec<String> {
    let world = World::new("guarded", |driver| driver.add(GarbageCollector)).holding(map(
        "owner",
        &json!([finalizer]),
        &json!([]),
    ));
    let mut cluster = Cluster::new(&world);
    assert!(cluster.run_to_rest(50));
    let uid = cluster.snapshot().get(&key("owner")).map(|owner| owner.metadata().uid.to_string());
    let owners = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "blockOwnerDeletion": true},
    ]);
    assert_eq!(cluster.edit(&Edit::Delete(key("owner"))), Ok(()));
    let late = Edit::Create(map("late", &json!([]), &owners));
    assert_eq!(cluster.step_while(&late), Ok(Moved::Refused), "{finalizer}");
    assert!(cluster.run_to_rest(50));
    let snapshot = cluster.snapshot();
    let left = snapshot.list(CONFIG_MAPS, Some("default"), None);
    left.map(|object| format!("{} of {:?}", object.key().name, object.metadata().owner_references)).collect()
}

#[test]
fn a_dependent_that_comes_last_goes_before_the_owner_that_waits() {
    assert_eq!(dependent_comes_while_its_owner_is_let_go("foregroundDeletion"), Vec::<String>::new());
}

#[test]
fn a_dependent_that_comes_last_is_orphaned_with_the_others() {
    assert_eq!(dependent_comes_while_its_owner_is_let_go("orphan"), ["late of []"]);
}
