//! Claims under proof: volumes fit, are made, reserved, lost; nodes are chosen and go; pods use a claim that is deleted.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use jiff::Timestamp;
use sampan_conformance::{Actor, Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::resource::volume::{CLAIM_PROTECTION, FOLDER_ANNOTATION, LOCAL_PATH};
use sampan_core::resource::{NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES};
use sampan_core::store::Snapshot;
use sampan_storage::{BIND_COMPLETED, SELECTED_NODE};
use serde_json::{Value, json};

use crate::ClaimOperator;

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(ClaimOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of(operator: impl Operator + Clone) -> Suite {
    Suite::of(operator)
        .beside(class("local", LOCAL_PATH, "WaitForFirstConsumer"))
        .beside(node())
        .spec("made", claim(json!("local"), json!({})))
        .neighbour(scheduler())
        .always("a volume is one claim's", a_volume_is_one_claims)
        .at_rest("the phase tells what is", phase_tells_what_is)
        .at_rest("a deleted claim is kept by pods alone", kept_by_pods_alone)
        .incidental(without_history)
        .touching(|object, _| object.key().resource == PERSISTENT_VOLUMES)
        .letting_go(|object| object.key().resource == PERSISTENT_VOLUMES)
        .world(fitting)
        .world(named)
        .world(provided)
        .world(lost)
        .world(used)
        .world(classless)
        .world(homeless)
        .world(folderless)
        .world(again)
}

/// Volumes that are made have the claim's uid for a name; how a claim was bound tells when who came.
fn without_history(object: &mut Value) -> bool {
    if let Some(held) = object.pointer_mut("/spec/claimRef").and_then(Value::as_object_mut) {
        held.remove("resourceVersion");
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !name.contains("storage-provisioner"));
    }
    if object["spec"]["volumeName"].as_str().is_some_and(is_made) {
        object["spec"]["volumeName"] = json!("made");
    }
    !object["metadata"]["name"].as_str().is_some_and(is_made)
}

fn is_made(name: &str) -> bool {
    name.starts_with("pvc-")
}

/// A claim of a class, with what else its spec says.
pub fn claim(class: Value, more: Value) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": class,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": spec,
        "metadata": {"name": "data", "namespace": "default", "finalizers": [CLAIM_PROTECTION]},
    })
}

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "volumeBindingMode": mode})
}

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "here", "annotations": {FOLDER_ANNOTATION: "/var/lib/volumes"}}})
}

fn volume(name: &str, class: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv"},
        "storageClassName": class}})
}

fn data() -> ObjectKey {
    ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, "default", "data")
}

fn called(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// Whoever chooses the node of the claim's first pod.
fn scheduler() -> Actor {
    actors::helper("scheduler", |snapshot, _| {
        let is_open = |claim: &Value| {
            claim["spec"]["volumeName"].is_null() && claim["metadata"]["annotations"][SELECTED_NODE].is_null()
        };
        if snapshot.get(&ObjectKey::cluster(NODES, "here")).is_none() {
            return Vec::new();
        }
        let claim = snapshot.get(&data()).filter(|claim| is_open(&claim.value()) && !claim.metadata().is_terminating());
        claim.into_iter().map(|claim| selecting(claim, "here")).collect()
    })
}

fn selecting(claim: &Object, node: &str) -> Deed {
    let mut selected = claim.value();
    selected["metadata"]["annotations"][SELECTED_NODE] = json!(node);
    actors::deed(claim, &format!("is to be on {node}"), Edit::Update(selected))
}

/// Says of new volumes that nobody has them: what their operator does sooner or later.
fn volume_operator() -> Actor {
    actors::helper("volume operator", |snapshot, _| {
        let fresh = objects(snapshot, PERSISTENT_VOLUMES).filter(|volume| {
            let value = volume.value();
            value["spec"]["claimRef"]["uid"].is_null() && value["status"]["phase"] != "Available"
        });
        let freed = |volume: &Object| actors::with_status(volume, &[("phase", json!("Available"))]);
        fresh.map(|volume| actors::deed(volume, "is available", Edit::UpdateStatus(freed(volume)))).collect()
    })
}

fn objects(snapshot: &Snapshot, resource: ResourceType) -> impl Iterator<Item = &Object> {
    snapshot.list(resource, None, None).map(|object| &**object)
}

/// Somebody who creates an object that is not there, once.
fn creating(who: &'static str, object: fn(&Snapshot) -> Option<Value>) -> Actor {
    actors::rare(1, who, move |snapshot, _| {
        let deed = |object: Value| Deed {
            what: format!("{} {} appears", object["kind"], object["metadata"]["name"]),
            edit: Edit::Create(object),
        };
        object(snapshot).map(deed).into_iter().collect()
    })
}

/// Somebody who takes an object away at once.
fn removing(who: &'static str, resource: ResourceType) -> Actor {
    actors::rare(1, who, move |snapshot, _| {
        objects(snapshot, resource).map(|it| actors::deed(it, "is gone", Edit::Remove(it.key().clone()))).collect()
    })
}

fn deleting() -> Actor {
    actors::rare(1, "user", |snapshot, _| {
        let claim = snapshot.get(&data()).into_iter();
        claim.map(|claim| actors::deed(claim, "is deleted", Edit::Delete(data()))).collect()
    })
}

/// Volumes are there, or come.
fn fitting(world: World) -> World {
    called(world, "fitting")
        .holding(volume("small", "other"))
        .holding(claim(json!(""), json!({})))
        .with(volume_operator())
        .with(creating("administrator", |snapshot| {
            snapshot.get(&ObjectKey::cluster(PERSISTENT_VOLUMES, "disk")).is_none().then(|| volume("disk", ""))
        }))
        .with(deleting())
        .with(actors::rare(1, "meddler", |snapshot, _| {
            let claim = snapshot.get(&data()).filter(|claim| is_bound_once(claim));
            let spoiled = |claim: &Object| actors::with_status(claim, &[("phase", json!("Pending"))]);
            let deed = |claim| actors::deed(claim, "is said to be pending", Edit::UpdateStatus(spoiled(claim)));
            claim.into_iter().map(|claim| deed(claim)).collect()
        }))
        .at_rest("who can have a volume has one", who_can_has)
}

/// The claim names its volume, which comes late, or is another's.
fn named(world: World) -> World {
    called(world, "named")
        .holding(claim(json!(""), json!({"volumeName": "disk"})))
        .with(volume_operator())
        .with(creating("administrator", |snapshot| {
            snapshot.get(&ObjectKey::cluster(PERSISTENT_VOLUMES, "disk")).is_none().then(|| volume("disk", ""))
        }))
        .with(actors::rare(1, "administrator", |snapshot, _| {
            let free = objects(snapshot, PERSISTENT_VOLUMES).filter(|it| it.value()["spec"]["claimRef"].is_null());
            let taken = |disk: &Object| {
                let mut taken = disk.value();
                taken["spec"]["claimRef"] = json!({"namespace": "default", "name": "others", "uid": "u"});
                actors::deed(disk, "is another's", Edit::Update(taken))
            };
            free.map(taken).collect()
        }))
}

/// Somebody else makes the volume.
fn provided(world: World) -> World {
    called(world, "provided")
        .holding(class("far", "example.com/far", "Immediate"))
        .holding(claim(json!("far"), json!({})))
        .with(volume_operator())
        .with(creating("provisioner", |snapshot| {
            let claim = snapshot.get(&data())?;
            let mut made = volume("far-away", "far");
            let uid = claim.metadata().uid.as_str();
            made["spec"]["claimRef"] = json!({"namespace": "default", "name": "data", "uid": uid});
            snapshot.get(&ObjectKey::cluster(PERSISTENT_VOLUMES, "far-away")).is_none().then_some(made)
        }))
}

/// The volume goes.
fn lost(world: World) -> World {
    called(world, "lost")
        .holding(volume("disk", ""))
        .holding(claim(json!(""), json!({})))
        .with(volume_operator())
        .with(removing("disaster", PERSISTENT_VOLUMES))
}

/// Pods use the claim while it is deleted, and somebody else holds it as well.
fn used(world: World) -> World {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "nodeName": "here", "containers": [{"name": "web", "image": "web:1"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    });
    let mut held = claim(json!(""), json!({}));
    held["metadata"]["finalizers"] = json!([CLAIM_PROTECTION, "example.com/hold"]);
    called(world, "used").holding(held).holding(pod).with(deleting()).with(removing("kubelet", PODS))
}

/// The claim says nothing of classes, and there comes to be a default one.
fn classless(world: World) -> World {
    called(world, "classless").holding(node()).holding(claim(Value::Null, json!({}))).with(scheduler()).with(creating(
        "administrator",
        |snapshot| {
            let mut usual = class("usual", LOCAL_PATH, "WaitForFirstConsumer");
            usual["metadata"]["annotations"] = json!({"storageclass.kubernetes.io/is-default-class": "true"});
            snapshot.get(&ObjectKey::cluster(STORAGE_CLASSES, "usual")).is_none().then_some(usual)
        },
    ))
}

/// The chosen node goes before there is a volume on it; the class is not there from the start.
fn homeless(world: World) -> World {
    called(world, "homeless")
        .holding(node())
        .holding(claim(json!("local"), json!({})))
        .with(scheduler())
        .with(removing("disaster", NODES))
        .with(creating("administrator", |snapshot| {
            let is_there = snapshot.get(&ObjectKey::cluster(STORAGE_CLASSES, "local")).is_some();
            (!is_there).then(|| class("local", LOCAL_PATH, "WaitForFirstConsumer"))
        }))
        .with(actors::rare(1, "somebody", |snapshot, _| {
            let claim = snapshot.get(&data()).filter(|claim| claim.value()["spec"]["volumeName"].is_null());
            claim.into_iter().map(|claim| selecting(claim, "nowhere")).collect()
        }))
}

/// The chosen node does not say where it keeps volumes, until it does.
fn folderless(world: World) -> World {
    let silent = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}});
    called(world, "folderless")
        .holding(silent)
        .holding(class("local", LOCAL_PATH, "WaitForFirstConsumer"))
        .holding(claim(json!("local"), json!({})))
        .with(scheduler())
        .with(actors::rare(1, "node", |snapshot, _| {
            let told = |object: &Object| actors::deed(object, "tells its folder", Edit::Update(node()));
            objects(snapshot, NODES).filter(|it| it.value()["metadata"]["annotations"].is_null()).map(told).collect()
        }))
}

/// The claim is deleted and comes again: each has a volume of its own.
fn again(world: World) -> World {
    called(world, "again")
        .holding(node())
        .holding(class("local", LOCAL_PATH, "WaitForFirstConsumer"))
        .with(scheduler())
        .with(actors::rare(5, "user", |snapshot, _| match snapshot.get(&data()) {
            Some(claim) => vec![actors::deed(claim, "is deleted", Edit::Delete(data()))],
            None => {
                vec![Deed { what: "the claim appears".into(), edit: Edit::Create(claim(json!("local"), json!({}))) }]
            }
        }))
}

/// The volume a claim names, and whether it is held for it.
fn volume_of(claim: &Object, snapshot: &Snapshot) -> (Option<String>, bool) {
    let Some(name) = claim.value()["spec"]["volumeName"].as_str().map(str::to_owned) else { return (None, false) };
    let volume = snapshot.get(&ObjectKey::cluster(PERSISTENT_VOLUMES, &name));
    let is_held = volume.is_some_and(|it| it.value()["spec"]["claimRef"]["uid"] == claim.metadata().uid.as_str());
    (Some(name), is_held)
}

fn is_bound_once(claim: &Object) -> bool {
    !claim.value()["metadata"]["annotations"][BIND_COMPLETED].is_null()
}

fn a_volume_is_one_claims(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(claim) = snapshot.get(&data()).filter(|claim| is_bound_once(claim)) else { return Ok(()) };
    let (name, is_held) = volume_of(claim, snapshot);
    let Some(name) = name else { return Err("a claim is bound to nothing".into()) };
    match snapshot.get(&ObjectKey::cluster(PERSISTENT_VOLUMES, &name)) {
        Some(_) if !is_held => Err(format!("the claim is bound to {name}, which is not held for it")),
        _ => Ok(()),
    }
}

fn phase_tells_what_is(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(claim) = snapshot.get(&data()).filter(|claim| !claim.metadata().is_terminating()) else { return Ok(()) };
    let expected = match (volume_of(claim, snapshot), is_bound_once(claim)) {
        ((Some(_), true), true) => "Bound",
        ((_, false), true) => "Lost",
        _ => "Pending",
    };
    let value = claim.value();
    let phase = value["status"]["phase"].as_str().unwrap_or_default();
    if phase == expected { Ok(()) } else { Err(format!("the phase is {phase:?}, should be {expected:?}")) }
}

fn kept_by_pods_alone(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(claim) = snapshot.get(&data()).filter(|claim| claim.metadata().is_terminating()) else { return Ok(()) };
    let keeps =
        claim.value()["metadata"]["finalizers"].as_array().is_some_and(|all| all.contains(&json!(CLAIM_PROTECTION)));
    let is_used = objects(snapshot, PODS).next().is_some();
    match (keeps, is_used) {
        (true, false) => Err("no pod uses it, and it is kept".into()),
        (false, true) => Err("a pod uses it, and it is let go".into()),
        _ => Ok(()),
    }
}

fn who_can_has(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(claim) = snapshot.get(&data()).filter(|claim| !claim.metadata().is_terminating()) else { return Ok(()) };
    let is_free = |volume: &Object| {
        let value = volume.value();
        value["status"]["phase"] == "Available"
            && value["spec"]["claimRef"].is_null()
            && volume.key().name == "disk".into()
    };
    let free = objects(snapshot, PERSISTENT_VOLUMES).any(is_free);
    if free && !is_bound_once(claim) { Err("a volume fits, and the claim has none".into()) } else { Ok(()) }
}
