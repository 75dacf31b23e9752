//! A namespace that goes leaves the records of effects to their primaries: whoever takes something down beyond the cluster asks
//! for it, and learns that it is done, though the namespace is going.

use sampan_conformance::{Cluster, Edit, World};
use sampan_core::object::ObjectKey;
use sampan_core::resource::{EFFECTS, NAMESPACES};
use sampan_namespace::NamespaceOperator;
use serde_json::{Value, json};

fn record(name: &str) -> Value {
    json!({
        "apiVersion": "sampan.dev/v1", "kind": "Effect",
        "metadata": {"name": name, "namespace": "team", "finalizers": ["sampan.dev/unfinished"]},
        "spec": {"operator": "buckets", "effect": "remove", "key": "a"}, "status": {"phase": "Pending"},
    })
}

#[test]
fn effects_are_asked_for_and_kept_while_their_namespace_goes() -> Result<(), String> {
    let team = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    let world = World::new("going", |driver| driver.add(NamespaceOperator::new("the certificate"))).holding(team);
    let mut cluster = Cluster::new(&world);
    let (team, early, late) = (
        ObjectKey::cluster(NAMESPACES, "team"),
        ObjectKey::namespaced(EFFECTS, "team", "early"),
        ObjectKey::namespaced(EFFECTS, "team", "late"),
    );
    cluster.edit(&Edit::Create(record("early")))?;
    cluster.edit(&Edit::Delete(team.clone()))?;
    cluster.edit(&Edit::Create(record("late")))?;
    assert!(cluster.run_to_rest(50));
    for key in [&early, &late] {
        let snapshot = cluster.snapshot();
        assert!(snapshot.get(key).is_some_and(|record| !record.metadata().is_terminating()), "{key}");
    }
    assert!(cluster.snapshot().get(&team).is_some(), "the namespace waits for them");
    for key in [early, late] {
        let mut done = cluster.snapshot().get(&key).ok_or("it is kept")?.value();
        done["metadata"]["finalizers"] = json!([]);
        cluster.edit(&Edit::Update(done))?;
        cluster.edit(&Edit::Delete(key))?;
    }
    assert!(cluster.run_to_rest(50));
    assert!(cluster.snapshot().get(&team).is_none(), "and goes after them");
    Ok(())
}
