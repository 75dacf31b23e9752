//! The garbage collector under proof: each propagation in a world of its own.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use sampan_conformance::{Deed, Edit, Suite, World, actors};
use sampan_core::Timestamp;
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::GarbageCollector;

const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", name)
}

fn map(name: &str, finalizers: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "finalizers": finalizers},
    })
}

/// An object whose owners these are, each of which it holds; once they exist.
fn owned_by(snapshot: &Snapshot, name: &str, owners: &[&str]) -> Option<Deed> {
    if snapshot.get(&key(name)).is_some() {
        return None;
    }
    let reference = |owner: &&str| {
        let uid = snapshot.get(&key(owner))?.metadata().uid.to_string();
        Some(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "blockOwnerDeletion": true}))
    };
    let references: Option<Vec<Value>> = owners.iter().map(reference).collect();
    let mut object = map(name, &json!([]));
    object["metadata"]["ownerReferences"] = json!(references?);
    Some(Deed { what: format!("{name} is created"), edit: Edit::Create(object) })
}

fn deleted(snapshot: &Snapshot, name: &str) -> Option<Deed> {
    let object = snapshot.get(&key(name)).filter(|object| !object.metadata().is_terminating())?;
    Some(Deed { what: format!("{name} is deleted"), edit: Edit::Delete(object.key().clone()) })
}

/// The suite of the shipping operator. Everything may be its business, so that it is alone with what it does.
pub fn suite() -> Suite {
    suite_of(GarbageCollector)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    Suite::of(operator)
        .alone()
        .touching(|_, _| true)
        .at_rest("every owner that is named exists", every_named_owner_exists)
        .at_rest("nobody waits for nothing", nobody_waits_for_nothing)
        .world(background)
        .world(foreground)
        .world(orphaned)
        .world(shared)
        .world(circle)
        .world(unheard)
}

fn named(mut world: World, name: &str, finalizers: &Value) -> World {
    name.clone_into(&mut world.name);
    world
        .holding(map("owner", finalizers))
        .with(actors::rare(1, "user", |snapshot, _| deleted(snapshot, "owner").into_iter().collect()))
}

/// A dependent and its dependent go after their owner.
fn background(world: World) -> World {
    named(world, "background", &json!([])).actor_times(2, "maker", |snapshot, _| {
        owned_by(snapshot, "child", &["owner"])
            .into_iter()
            .chain(owned_by(snapshot, "grandchild", &["child"]))
            .collect()
    })
}

/// The owner goes after its dependents.
fn foreground(world: World) -> World {
    let mut world = named(world, "foreground", &json!(["foregroundDeletion"]));
    world.actors.clear();
    world
        .actor_times(1, "user", |snapshot, _| {
            let ready = snapshot.get(&key("grandchild"));
            ready.and_then(|_| deleted(snapshot, "owner")).into_iter().collect()
        })
        .actor_times(2, "maker", |snapshot, _| {
            let child = owned_by(snapshot, "child", &["owner"]);
            child.into_iter().chain(owned_by(snapshot, "grandchild", &["child"])).collect()
        })
        .always("an owner outlives what holds it", |snapshot, _| {
            let child = snapshot.get(&key("child")).is_some();
            if !child || snapshot.get(&key("owner")).is_some() { Ok(()) } else { Err("the child is left".into()) }
        })
}

/// Somebody holds what is created: were it deleted, it would be seen to be.
fn held(mut deed: Deed) -> Deed {
    if let Edit::Create(object) = &mut deed.edit {
        object["metadata"]["finalizers"] = json!(["example.com/held"]);
    }
    deed
}

/// The dependents stay.
fn orphaned(world: World) -> World {
    named(world, "orphaned", &json!(["orphan"]))
        .actor_times(2, "maker", |snapshot, _| {
            let children = ["child", "second-child"].map(|name| owned_by(snapshot, name, &["owner"]));
            children.into_iter().flatten().map(held).collect()
        })
        .always("no dependent goes", |snapshot, _| match snapshot.get(&key("child")) {
            Some(child) if child.metadata().is_terminating() => Err("the child goes".into()),
            _ => Ok(()),
        })
}

/// What two own goes with the last; one that waits for its dependents does not wait for what the other keeps.
fn shared(world: World) -> World {
    named(world, "shared", &json!(["foregroundDeletion"]))
        .holding(map("other", &json!([])))
        .actor_times(1, "maker", |snapshot, _| owned_by(snapshot, "child", &["owner", "other"]).into_iter().collect())
        .actor_times(1, "another user", |snapshot, _| deleted(snapshot, "other").into_iter().collect())
}

/// Three that own each other in a circle all go with one of them.
fn circle(world: World) -> World {
    let mut world = named(world, "circle", &json!(["foregroundDeletion"]));
    world.actors.clear();
    world
        .actor_times(1, "user", |snapshot, _| {
            let owner = snapshot.get(&key("owner"));
            let closed = owner.is_some_and(|owner| !owner.metadata().owner_references.is_empty());
            deleted(snapshot, "owner").filter(|_| closed).into_iter().collect()
        })
        .actor_times(3, "maker", |snapshot, _| {
            let child = owned_by(snapshot, "child", &["owner"]);
            child
                .into_iter()
                .chain(owned_by(snapshot, "grandchild", &["child"]))
                .chain(closing_the_circle(snapshot))
                .collect()
        })
}

fn closing_the_circle(snapshot: &Snapshot) -> Option<Deed> {
    let owner = snapshot.get(&key("owner")).filter(|owner| owner.metadata().owner_references.is_empty())?;
    let uid = snapshot.get(&key("grandchild"))?.metadata().uid.to_string();
    let mut owner = owner.value();
    owner["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "grandchild", "uid": uid, "blockOwnerDeletion": true}]);
    Some(Deed { what: "the owner is owned by its grandchild".into(), edit: Edit::Update(owner) })
}

/// What an owner of a kind that is not served owns is nobody's to delete.
fn unheard(world: World) -> World {
    let reference = json!({"apiVersion": "unheard.example/v1", "kind": "Thing", "name": "owner", "uid": "a-uid"});
    let mut child = map("child", &json!([]));
    child["metadata"]["ownerReferences"] = json!([reference]);
    let mut world = world;
    "unheard".clone_into(&mut world.name);
    world.at_rest.clear();
    world
        .holding(child)
        .actor_times(1, "user", |snapshot, _| {
            let labelled = snapshot.get(&key("child")).map(|child| {
                let mut child = child.value();
                child["metadata"]["labels"] = json!({"touched": "yes"});
                Deed { what: "the child is labelled".into(), edit: Edit::Update(child) }
            });
            labelled.into_iter().collect()
        })
        .always("the child stays", |snapshot, _| match snapshot.get(&key("child")) {
            Some(child) if !child.metadata().is_terminating() => Ok(()),
            _ => Err("the child is deleted".into()),
        })
}

fn every_named_owner_exists(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let maps = snapshot.list(CONFIG_MAPS, None, None);
    for (object, owner) in maps.flat_map(|it| it.metadata().owner_references.iter().map(move |owner| (it, owner))) {
        if snapshot.get(&key(&owner.name)).is_none_or(|found| found.metadata().uid != owner.uid) {
            return Err(format!("{} names {}, which is gone", object.key(), owner.name));
        }
    }
    Ok(())
}

fn nobody_waits_for_nothing(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    match snapshot.list(CONFIG_MAPS, None, None).find(|object| object.metadata().is_terminating()) {
        Some(object) => Err(format!("{} waits for ever", object.key())),
        None => Ok(()),
    }
}
