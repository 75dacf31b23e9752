//! Volumes under proof: claims take them, leave them and name others; somebody meddles; nodes remove data.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Operator;
use sampan_core::resource::volume::{LOCAL_PATH, VOLUME_PROTECTION};
use sampan_core::resource::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};
use sampan_core::store::Snapshot;
use sampan_storage::PROVISIONED_BY;
use serde_json::{Value, json};

use crate::VolumeOperator;

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(VolumeOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    Suite::of(operator)
        .spec("made by hand", disk("Retain", ""))
        .neighbour(binder())
        .neighbour(node())
        .incidental(|object| {
            if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
                status.remove("lastPhaseTransitionTime");
            }
            true
        })
        .remembering(&["/lastPhaseTransitionTime", "/phase"])
        .at_rest("the phase tells what is", phase_tells_what_is)
        .at_rest("what nobody has goes where it is to", what_is_to_go_goes)
        .always("no volume goes while its claim has it", no_volume_goes_while_used)
        .world(|world| of(world, "kept", disk("Retain", "")))
        .world(|world| of(world, "removed", disk("Delete", LOCAL_PATH)))
        .world(|world| of(world, "left by others", disk("Delete", "")))
        .world(|world| of(world, "recycled", disk("Recycle", "")))
        .world(deleted)
        .world(misbound)
        .world(meddled)
}

/// A volume nobody has, with a policy and somebody who made it.
pub fn disk(policy: &str, provisioner: &str) -> Value {
    let (annotations, finalizers) = match provisioner {
        "" => (json!({}), json!([VOLUME_PROTECTION])),
        maker => (json!({ PROVISIONED_BY: maker }), json!([VOLUME_PROTECTION, maker])),
    };
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "disk", "annotations": annotations, "finalizers": finalizers},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv/disk"},
            "persistentVolumeReclaimPolicy": policy,
        },
    })
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""},
    })
}

fn data() -> ObjectKey {
    ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, "default", "data")
}

fn volume() -> ObjectKey {
    ObjectKey::cluster(PERSISTENT_VOLUMES, "disk")
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// A claim comes, is bound and goes.
fn of(world: World, name: &str, disk: Value) -> World {
    named(world, name).holding(disk).with(binder()).with(node()).with(user(2))
}

/// The volume is deleted, whoever has it.
fn deleted(world: World) -> World {
    of(world, "deleted", disk("Delete", LOCAL_PATH)).with(actors::rare(1, "administrator", |snapshot, _| {
        let disk = snapshot.get(&volume()).into_iter();
        disk.map(|disk| actors::deed(disk, "is deleted", Edit::Delete(volume()))).collect()
    }))
}

/// The claim a volume is held for names another.
fn misbound(world: World) -> World {
    named(world, "misbound").holding(disk("Retain", "")).with(binder()).with(user(1)).with(actors::rare(
        1,
        "user",
        |snapshot, _| snapshot.get(&data()).and_then(|claim| naming(claim, "other")).into_iter().collect(),
    ))
}

/// Somebody writes into the status.
fn meddled(world: World) -> World {
    of(world, "meddled", disk("Retain", "")).with(actors::rare(1, "meddler", |snapshot, _| {
        let disk = snapshot.get(&volume()).into_iter();
        let spoiled = |disk: &Object| actors::with_status(disk, &[("phase", json!("Pending"))]);
        disk.map(|disk| actors::deed(disk, "is said to be pending", Edit::UpdateStatus(spoiled(disk)))).collect()
    }))
}

/// Creates the claim and deletes it, so many times in all.
fn user(times: usize) -> Actor {
    actors::rare(times, "user", |snapshot, _| match snapshot.get(&data()) {
        Some(claim) => vec![actors::deed(claim, "is deleted", Edit::Delete(data()))],
        None => vec![Deed { what: "a claim appears".into(), edit: Edit::Create(claim()) }],
    })
}

/// Binds the claim to the volume: the volume first.
fn binder() -> Actor {
    actors::helper("binder", |snapshot, _| {
        let disk = snapshot.get(&volume()).filter(|disk| !disk.metadata().is_terminating());
        let claim = snapshot.get(&data()).filter(|claim| claim.value()["spec"]["volumeName"].is_null());
        let (Some(disk), Some(claim)) = (disk, claim) else { return Vec::new() };
        if is_held_for(disk, claim) {
            return naming(claim, "disk").into_iter().collect();
        }
        let mut reserved = disk.value();
        if !reserved["spec"]["claimRef"].is_null() || reserved["status"]["phase"] != "Available" {
            return Vec::new();
        }
        reserved["spec"]["claimRef"] =
            json!({"namespace": "default", "name": "data", "uid": claim.metadata().uid.as_str()});
        vec![actors::deed(disk, "is held", Edit::Update(reserved))]
    })
}

fn is_held_for(disk: &Object, claim: &Object) -> bool {
    disk.value()["spec"]["claimRef"]["uid"] == claim.metadata().uid.as_str()
}

fn naming(claim: &Object, name: &str) -> Option<Deed> {
    let mut bound = claim.value();
    if bound["spec"]["volumeName"].is_string() {
        return None;
    }
    bound["spec"]["volumeName"] = json!(name);
    Some(actors::deed(claim, &format!("names {name}"), Edit::Update(bound)))
}

/// Removes the data of a volume that goes, and lets go of it.
fn node() -> Actor {
    actors::helper("node", |snapshot, _| {
        let disk = snapshot.get(&volume()).filter(|disk| disk.metadata().is_terminating());
        let Some(disk) = disk.filter(|disk| disk.value()["metadata"]["finalizers"] == json!([LOCAL_PATH])) else {
            return Vec::new();
        };
        let mut released = disk.value();
        released["metadata"]["finalizers"] = json!([]);
        vec![actors::deed(disk, "has no data any more", Edit::Update(released))]
    })
}

/// A volume that is held for a claim which does not name it yet is said to be what it was.
fn phase_tells_what_is(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(disk) = snapshot.get(&volume()).filter(|disk| !disk.metadata().is_terminating()) else { return Ok(()) };
    let holder = snapshot.get(&data()).filter(|claim| is_held_for(disk, claim));
    let named = holder.map(|claim| claim.value()["spec"]["volumeName"].clone());
    let disk = disk.value();
    let expected: &[&str] = match named {
        Some(Value::Null) => return Ok(()),
        Some(_) => &["Bound"],
        None if disk["spec"]["claimRef"]["uid"].is_null() => &["Available"],
        None => &["Released", "Failed"],
    };
    let phase = disk["status"]["phase"].as_str().unwrap_or_default();
    if expected.contains(&phase) {
        Ok(())
    } else {
        Err(format!("the phase is {phase:?}, should be one of {expected:?}"))
    }
}

/// A volume on its way out is kept for its claim alone; and one that is left over goes, where its policy says so.
fn what_is_to_go_goes(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(object) = snapshot.get(&volume()) else { return Ok(()) };
    let is_held = snapshot.get(&data()).is_some_and(|claim| is_held_for(object, claim));
    let disk = object.value();
    let is_left = !disk["spec"]["claimRef"]["uid"].is_null() && !is_held;
    let is_ours = disk["metadata"]["annotations"][PROVISIONED_BY] == LOCAL_PATH;
    let is_going = object.metadata().is_terminating();
    if is_left && is_ours && disk["spec"]["persistentVolumeReclaimPolicy"] == "Delete" && !is_going {
        return Err("a volume nobody has stays".into());
    }
    let keeps = disk["metadata"]["finalizers"].as_array().is_some_and(|all| all.contains(&json!(VOLUME_PROTECTION)));
    match is_going && keeps && !is_held {
        true => Err("a deleted volume nobody has is kept".into()),
        false => Ok(()),
    }
}

fn no_volume_goes_while_used(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let named = snapshot.get(&data()).is_some_and(|claim| claim.value()["spec"]["volumeName"] == "disk");
    if named && snapshot.get(&volume()).is_none() { Err("the volume of a claim is gone".into()) } else { Ok(()) }
}
