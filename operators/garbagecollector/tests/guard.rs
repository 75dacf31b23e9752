//! An owner is let go only while nobody new names it: what was counted guards what is committed.

use sampan_conformance::{Cluster, Edit, Moved, World};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::EFFECTS;
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

#[test]
fn the_record_of_an_effect_goes_after_its_owner_though_that_waits_for_its_dependents() -> Result<(), String> {
    let world = World::new("foreground", |driver| driver.add(GarbageCollector));
    let world = world.holding(map("owner", &json!(["foregroundDeletion", "example.com/held"]), &json!([])));
    let mut cluster = Cluster::new(&world);
    let owner = cluster.snapshot().get(&key("owner")).cloned().ok_or("the owner is there")?;
    let uid = owner.metadata().uid.to_string();
    cluster.edit(&Edit::Create(json!({
        "apiVersion": "sampan.dev/v1", "kind": "Effect",
        "metadata": {"name": "record", "namespace": "default",
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]},
    })))?;
    cluster.edit(&Edit::Delete(key("owner")))?;
    assert!(cluster.run_to_rest(50));
    let record = ObjectKey::namespaced(EFFECTS, "default", "record");
    assert!(cluster.snapshot().get(&record).is_some(), "it is read while its owner is there");
    let mut released = cluster.snapshot().get(&key("owner")).ok_or("somebody else holds it")?.value();
    released["metadata"]["finalizers"] = json!([]);
    cluster.edit(&Edit::Update(released))?;
    assert!(cluster.run_to_rest(50));
    assert!(cluster.snapshot().get(&record).is_none(), "it goes with its owner");
    Ok(())
}
