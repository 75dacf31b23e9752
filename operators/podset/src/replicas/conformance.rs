//! What keeps so many pods under proof: its specs, its neighbours, its laws, and the worlds where something goes wrong.
//!
//! Generic over the kind, and over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Deed, Edit, Suite, World, actors, read};
use sampan_core::gateway::{Admission, AdmissionRequest};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Kind as _;
use sampan_core::resource::{CONFIG_MAPS, PODS};
use sampan_core::status::Status;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use super::Replicator;

/// An operator of whose kind an example can be made.
pub trait Specimen: Replicator + 'static {
    /// The selector of pods with these labels, as the kind writes it.
    fn selecting(labels: Value) -> Value;
}

/// The suite of an operator of that kind, with its specs, laws and worlds.
pub fn complete<R: Specimen>(suite: Suite) -> Suite {
    suite
        .spec("none", set::<R>(0, 0))
        .spec("two", set::<R>(2, 0))
        .neighbour(actors::kubelet())
        .at_rest("the status tells what is", status_tells_what_is::<R>)
        .touching(|object, _| object.key().resource == PODS && object.metadata().controller().is_none())
        .letting_go(|object| object.key().resource == PODS && !is_matching(object))
        .world(failing::<R>)
        .world(claimed::<R>)
        .world(limited::<R>)
        .world(held::<R>)
        .world(shrunk::<R>)
        .world(patient::<R>)
}

/// A set with so many replicas, each available after so many seconds.
pub fn set<R: Specimen>(replicas: usize, min_ready_seconds: usize) -> Value {
    json!({
        "apiVersion": R::Set::API_VERSION, "kind": R::Set::KIND, "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "minReadySeconds": min_ready_seconds, "selector": R::selecting(json!({"app": "web"})),
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "here"},
            },
        },
    })
}

fn web<R: Replicator>() -> ObjectKey {
    ObjectKey::namespaced(R::Set::RESOURCE, "default", "web")
}

fn named(mut world: World, name: &str) -> World {
    name.clone_into(&mut world.name);
    world
}

/// Explored with a large budget alone: it takes more seconds than a change should wait.
fn large(mut world: World) -> World {
    world.is_large = true;
    world
}

fn counted<R: Specimen>(world: World) -> World {
    world.at_rest("as many pods as wanted", as_many_as_wanted::<R>)
}

/// Pods lose their readiness, fail, and are deleted.
fn failing<R: Specimen>(world: World) -> World {
    counted::<R>(named(world, "failing"))
        .holding(set::<R>(1, 0))
        .with(actors::kubelet())
        .with(actors::flaky(1))
        .with(actors::user_who_deletes_pods(1))
        .with(actors::failing(1))
}

/// Orphans appear and pods get other labels.
fn claimed<R: Specimen>(world: World) -> World {
    counted::<R>(large(named(world, "claimed")))
        .holding(set::<R>(1, 0))
        .with(actors::kubelet())
        .with(actors::rare(1, "stranger", |_, _| vec![orphan()]))
        .with(actors::rare(1, "user", |snapshot, _| actors::pods(snapshot).map(|pod| relabelled(pod)).collect()))
        .at_rest("every matching pod is controlled", every_matching_pod_is_controlled::<R>)
}

/// A quota lets only so many pods be created.
fn limited<R: Specimen>(world: World) -> World {
    let mut world = large(named(world, "limited"))
        .holding(quota(1))
        .holding(set::<R>(2, 0))
        .with(actors::ruler(2, "administrator", |snapshot, _| other_quotas(snapshot)))
        .with(actors::kubelet())
        .with(actors::user_who_deletes_pods(1));
    world.admissions = || vec![Box::new(Quota)];
    world
}

/// The set is deleted while somebody's finalizer holds it.
fn held<R: Specimen>(world: World) -> World {
    let mut set = set::<R>(1, 0);
    set["metadata"]["finalizers"] = json!(["example.com/hold"]);
    named(world, "held")
        .holding(set)
        .with(actors::rare(1, "user", |_, _| {
            vec![Deed { what: "web is deleted".into(), edit: Edit::Delete(web::<R>()) }]
        }))
        .with(actors::kubelet())
        .with(actors::flaky(1))
        .always("no pod is created once deletion was asked for", nothing_is_created_for_the_dying::<R>)
}

/// Fewer are wanted, and fewer still.
fn shrunk<R: Specimen>(world: World) -> World {
    counted::<R>(named(world, "shrunk")).holding(set::<R>(2, 0)).with(actors::kubelet()).with(actors::rare(
        2,
        "user",
        |snapshot, _| {
            let Some(set) = snapshot.get(&web::<R>()).map(|set| set.value()) else { return Vec::new() };
            let Some(fewer) = set["spec"]["replicas"].as_i64().and_then(|size| (size > 0).then_some(size - 1)) else {
                return Vec::new();
            };
            let mut set = set;
            set["spec"]["replicas"] = json!(fewer);
            vec![Deed { what: format!("web is scaled to {fewer}"), edit: Edit::Update(set) }]
        },
    ))
}

/// Pods count as available only after ten seconds.
fn patient<R: Specimen>(world: World) -> World {
    let mut world =
        counted::<R>(named(world, "patient")).holding(set::<R>(1, 10)).with(actors::kubelet()).with(actors::flaky(2));
    world.ages_seconds = 11;
    world
}

/// A pod nobody controls that the set's selector matches.
pub fn orphan() -> Deed {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "orphan-", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "here"},
    });
    Deed { what: "an orphan appears".into(), edit: Edit::Create(object) }
}

fn relabelled(pod: &Object) -> Deed {
    let mut value = pod.value();
    value["metadata"]["labels"]["app"] = json!("other");
    actors::deed(pod, "is relabelled", Edit::Update(value))
}

/// The pods that count.
pub fn active<R: Replicator>(snapshot: &Snapshot) -> Vec<Arc<Value>> {
    let uid = snapshot.get(&web::<R>()).map(|set| set.metadata().uid.clone());
    let owned =
        actors::pods(snapshot).filter(|pod| pod.metadata().controller().map(|owner| &owner.uid) == uid.as_ref());
    owned.filter(|pod| actors::is_alive(pod)).map(|pod| read(pod)).collect()
}

fn as_many_as_wanted<R: Replicator>(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(set) = snapshot.get(&web::<R>()).filter(|set| !set.metadata().is_terminating()) else { return Ok(()) };
    let wanted = read(set)["spec"]["replicas"].as_u64().unwrap_or_default() as usize;
    let found = active::<R>(snapshot).len();
    if wanted == found { Ok(()) } else { Err(format!("{found} pods, wanted {wanted}")) }
}

fn status_tells_what_is<R: Replicator>(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(set) = snapshot.get(&web::<R>()) else { return Ok(()) };
    let value = read(set);
    let active = active::<R>(snapshot);
    let ready = active.iter().filter(|pod| actors::is_ready(pod)).count();
    let wait = value["spec"]["minReadySeconds"].as_i64().unwrap_or_default();
    let is_available = |pod: &&Arc<Value>| actors::is_ready_for(pod, wait, now);
    let expected = [
        ("replicas", active.len() as u64),
        ("readyReplicas", ready as u64),
        ("availableReplicas", active.iter().filter(is_available).count() as u64),
        ("observedGeneration", set.metadata().generation as u64),
    ];
    for (field, expect) in expected {
        let told = value["status"][field].as_u64().unwrap_or_default();
        if told != expect {
            return Err(format!("status.{field} is {told}, should be {expect}"));
        }
    }
    Ok(())
}

fn is_matching(pod: &Object) -> bool {
    pod.metadata().labels.get("app").is_some_and(|app| &**app == "web")
}

fn every_matching_pod_is_controlled<R: Replicator>(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let matching = actors::pods(snapshot).filter(|pod| actors::is_alive(pod) && is_matching(pod));
    let is_dying = snapshot.get(&web::<R>()).is_none_or(|set| set.metadata().is_terminating());
    match matching.filter(|pod| pod.metadata().controller().is_none()).count() {
        orphans if orphans > 0 && !is_dying => Err(format!("{orphans} orphans")),
        _ => Ok(()),
    }
}

fn nothing_is_created_for_the_dying<R: Replicator>(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let deleted = snapshot.get(&web::<R>()).and_then(|set| set.metadata().deletion_timestamp);
    let mut pods = actors::pods(snapshot);
    match pods.any(|pod| deleted.is_some_and(|deleted| pod.metadata().creation_timestamp > deleted)) {
        true => Err("a pod was created".into()),
        false => Ok(()),
    }
}

fn quota_key() -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", "quota")
}

fn quota(pods: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "quota", "namespace": "default"},
        "data": {"pods": pods.to_string()},
    })
}

fn other_quotas(snapshot: &Snapshot) -> Vec<Deed> {
    let present = snapshot.get(&quota_key()).map(|quota| quota.value());
    let differs = |quota: &Value| present.as_ref().is_none_or(|it| it["data"] != quota["data"]);
    let deed = |quota: Value| Deed { what: format!("quota {}", quota["data"]), edit: Edit::Update(quota) };
    [0, 1, 3].map(quota).into_iter().filter(differs).map(deed).collect()
}

/// Refuses pods beyond the number the quota names.
struct Quota;

impl Admission for Quota {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PODS)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, _object: &mut Value) -> Result<(), Status> {
        let quota = request.snapshot.get(&quota_key());
        let limit = quota.and_then(|quota| read(quota)["data"]["pods"].as_str()?.parse().ok());
        match limit.is_some_and(|limit: usize| actors::pods(request.snapshot).count() >= limit) {
            true => Err(Status::forbidden("exceeded quota: pods")),
            false => Ok(()),
        }
    }
}
