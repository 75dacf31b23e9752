//! StatefulSets under proof: their specs, their neighbours, their laws, and the worlds where something goes wrong.
//!
//! Generic over the operator: the shipping one, or one that differs from it and must not get through.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{Deed, Edit, Suite, World, actors};
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::resource::PODS;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};

use crate::StatefulSetOperator;

const STATEFUL_SETS: ResourceType = ResourceType::new("apps", "statefulsets");
const REVISIONS: ResourceType = ResourceType::new("apps", "controllerrevisions");
const CLAIMS: ResourceType = ResourceType::new("", "persistentvolumeclaims");

/// The suite of the shipping operator.
pub fn suite() -> Suite {
    suite_of(StatefulSetOperator)
}

/// The suite of an operator that says it is the shipping one.
pub fn suite_of<O: Operator + Clone + Sync>(operator: O) -> Suite {
    Suite::of(operator)
        .spec("one", stateful_set(1, "web:1"))
        .spec("two", stateful_set(2, "web:2"))
        .neighbour(actors::kubelet())
        .incidental(is_no_history)
        .remembering(&["/collisionCount", "/currentRevision"])
        .at_rest("the status tells what is", status_tells_what_is)
        .touching(|object, _| is_free_pod(object) || object.key().resource == CLAIMS)
        .letting_go(|object| object.key().resource == CLAIMS || (object.key().resource == PODS && !is_matching(object)))
        .world(ordered)
        .world(rolled)
        .world(parted)
        .world(failing)
        .world(claimed)
        .world(stored)
        .world(held)
        .world(patient)
}

/// A StatefulSet with so many replicas of that image.
pub fn stateful_set(replicas: usize, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}], "nodeName": "here"},
            },
        },
    })
}

fn web() -> ObjectKey {
    ObjectKey::namespaced(STATEFUL_SETS, "default", "web")
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

fn counted(world: World) -> World {
    world.at_rest("every ordinal wanted has its pod, and no other", each_ordinal_has_its_pod)
}

/// A user scales; nobody else has a hand in it, so that pods come and go in order.
fn ordered(world: World) -> World {
    counted(named(world, "ordered"))
        .holding(stateful_set(2, "web:1"))
        .with(actors::kubelet())
        .actor_times(2, "user", |snapshot, _| scales(snapshot, &[0, 1, 3]))
        .always("no pod is without all those before it", no_pod_without_those_before)
}

/// A new template, or a second one while the first is still on its way.
fn rolled(world: World) -> World {
    counted(named(world, "rolled"))
        .holding(stateful_set(2, "web:1"))
        .with(actors::kubelet())
        .actor_times(2, "user", |snapshot, _| images(snapshot, &["web:1", "web:2"]))
        .always("one pod of two is always there", one_is_always_there)
        .at_rest("every pod is of the template", every_pod_is_of_the_template)
}

/// Only pods from the partition on are of a new template.
fn parted(world: World) -> World {
    let mut parted = stateful_set(2, "web:1");
    parted["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    counted(named(world, "parted"))
        .holding(parted)
        .with(actors::kubelet())
        .with(actors::user_who_deletes_pods(1))
        .actor_times(1, "user", |snapshot, _| images(snapshot, &["web:2"]))
        .at_rest("pods before the partition keep their template", pods_before_the_partition_keep_theirs)
}

/// Pods lose their readiness, fail, and are deleted.
fn failing(world: World) -> World {
    counted(large(named(world, "failing")))
        .holding(stateful_set(2, "web:1"))
        .with(actors::kubelet())
        .with(actors::flaky(1))
        .with(actors::user_who_deletes_pods(1))
        .with(actors::failing(1))
}

/// A pod of the set's name appears that nobody controls, and pods get other labels.
fn claimed(world: World) -> World {
    named(world, "claimed")
        .holding(stateful_set(1, "web:1"))
        .with(actors::kubelet())
        .with(actors::rare(1, "stranger", |snapshot, _| orphans(snapshot)))
        .with(actors::rare(1, "user", |snapshot, _| actors::pods(snapshot).map(|pod| relabelled(pod)).collect()))
        .at_rest("every pod of its names is controlled", every_pod_of_its_names_is_controlled)
}

/// Each pod has a claim, which goes when the set is scaled down.
fn stored(world: World) -> World {
    let mut stored = stateful_set(1, "web:1");
    stored["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    stored["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete", "whenDeleted": "Retain"});
    named(world, "stored")
        .holding(stored)
        .with(actors::kubelet())
        .actor_times(2, "user", |snapshot, _| scales(snapshot, &[0, 2]))
        .always("no pod is without its claim", no_pod_without_its_claim)
}

/// The StatefulSet is deleted while somebody's finalizer holds it.
fn held(world: World) -> World {
    let mut set = stateful_set(1, "web:1");
    set["metadata"]["finalizers"] = json!(["example.com/hold"]);
    named(world, "held")
        .holding(set)
        .with(actors::rare(1, "user", |_, _| vec![Deed { what: "web is deleted".into(), edit: Edit::Delete(web()) }]))
        .with(actors::kubelet())
        .with(actors::flaky(1))
        .always("no pod is created once deletion was asked for", nothing_is_created_for_the_dying)
}

/// Pods count as available only after ten seconds.
fn patient(world: World) -> World {
    let mut patient = stateful_set(2, "web:1");
    patient["spec"]["minReadySeconds"] = json!(10);
    let mut world = counted(named(world, "patient")).holding(patient).with(actors::kubelet()).with(actors::flaky(1));
    world.ages_seconds = 11;
    world
}

/// What the template was before, what its revision had to be called because a name was taken, and which revision a rollout
/// began with, tells how a set came to be as it is.
fn is_no_history(object: &mut Value) -> bool {
    if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove("controller-revision-hash");
    }
    if object["kind"] == "StatefulSet"
        && let Some(status) = object["status"].as_object_mut()
    {
        for field in ["conditions", "collisionCount", "currentRevision", "updateRevision", "currentReplicas"] {
            status.remove(field);
        }
    }
    object["kind"] != "ControllerRevision"
}

fn scales(snapshot: &Snapshot, sizes: &[usize]) -> Vec<Deed> {
    sizes
        .iter()
        .filter_map(|size| edit(snapshot, &format!("is scaled to {size}"), "/spec/replicas", json!(size)))
        .collect()
}

fn images(snapshot: &Snapshot, images: &[&str]) -> Vec<Deed> {
    let pointer = "/spec/template/spec/containers/0/image";
    images.iter().filter_map(|image| edit(snapshot, &format!("gets image {image}"), pointer, json!(image))).collect()
}

/// A change of the set, where it is one.
fn edit(snapshot: &Snapshot, what: &str, pointer: &str, value: Value) -> Option<Deed> {
    let mut set = snapshot.get(&web())?.value();
    let place = set.pointer_mut(pointer)?;
    if *place == value {
        return None;
    }
    *place = value;
    Some(Deed { what: format!("web {what}"), edit: Edit::Update(set) })
}

fn orphans(snapshot: &Snapshot) -> Vec<Deed> {
    let name = "web-0";
    if actors::pods(snapshot).any(|pod| &*pod.key().name == name) {
        return Vec::new();
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "here"},
    });
    vec![Deed { what: "an orphan appears".into(), edit: Edit::Create(object) }]
}

fn relabelled(pod: &Object) -> Deed {
    let mut value = pod.value();
    value["metadata"]["labels"]["app"] = json!("other");
    actors::deed(pod, "is relabelled", Edit::Update(value))
}

fn is_free_pod(object: &Object) -> bool {
    object.key().resource == PODS && object.metadata().controller().is_none()
}

fn is_matching(pod: &Object) -> bool {
    pod.metadata().labels.get("app").is_some_and(|app| &**app == "web")
}

fn wanted(snapshot: &Snapshot) -> Option<Value> {
    snapshot.get(&web()).filter(|set| !set.metadata().is_terminating()).map(|set| set.value())
}

/// The same, where nothing is waited for that others do.
fn settled(snapshot: &Snapshot, now: Timestamp) -> Option<Value> {
    let wait = wanted(snapshot)?["spec"]["minReadySeconds"].as_i64().unwrap_or_default();
    let is_settled = |pod: &Arc<Object>| actors::is_alive(pod) && actors::is_ready_for(&pod.value(), wait, now);
    let claims_stay =
        snapshot.list(CLAIMS, Some("default"), None).all(|claim| claim.metadata().owner_references.is_empty());
    wanted(snapshot).filter(|_| claims_stay && actors::pods(snapshot).all(is_settled))
}

/// The set's own pods, by ordinal.
fn own(snapshot: &Snapshot) -> Vec<(u64, Value)> {
    let uid = snapshot.get(&web()).map(|set| set.metadata().uid.clone());
    let is_own = |pod: &&Arc<Object>| pod.metadata().controller().map(|owner| &owner.uid) == uid.as_ref();
    let ordinal = |pod: &Object| pod.key().name.strip_prefix("web-").and_then(|text| text.parse().ok());
    actors::pods(snapshot).filter(is_own).filter_map(|pod| Some((ordinal(pod)?, pod.value()))).collect()
}

fn each_ordinal_has_its_pod(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(set) = settled(snapshot, now) else { return Ok(()) };
    let found: Vec<u64> = own(snapshot).into_iter().map(|(ordinal, _)| ordinal).collect();
    let wanted: Vec<u64> = (0..set["spec"]["replicas"].as_u64().unwrap_or_default()).collect();
    if found == wanted { Ok(()) } else { Err(format!("ordinals {found:?}, wanted {wanted:?}")) }
}

fn no_pod_without_those_before(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    if wanted(snapshot).is_none() {
        return Ok(());
    }
    for (place, (ordinal, _)) in own(snapshot).iter().enumerate() {
        if *ordinal != place as u64 {
            return Err(format!("web-{ordinal} is there without web-{place}"));
        }
    }
    Ok(())
}

/// Once both were there, a rollout takes one at a time.
fn one_is_always_there(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(set) = wanted(snapshot).filter(|set| set["status"]["readyReplicas"] == 2) else { return Ok(()) };
    match own(snapshot).iter().filter(|(_, pod)| actors::is_ready(pod)).count() {
        0 => Err(format!("no pod is ready, {} were", set["status"]["readyReplicas"])),
        _ => Ok(()),
    }
}

fn images_of(snapshot: &Snapshot) -> Vec<(u64, String)> {
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
    own(snapshot).iter().map(|(ordinal, pod)| (*ordinal, image(pod))).collect()
}

fn every_pod_is_of_the_template(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(set) = settled(snapshot, now) else { return Ok(()) };
    let image = &set["spec"]["template"]["spec"]["containers"][0]["image"];
    match images_of(snapshot).iter().find(|(_, found)| *image != **found) {
        Some((ordinal, found)) => Err(format!("web-{ordinal} runs {found}, not {image}")),
        None => Ok(()),
    }
}

/// The image of web-0 is that of the revision the rollout began with, and the others' that of the template.
fn pods_before_the_partition_keep_theirs(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(set) = settled(snapshot, now) else { return Ok(()) };
    if set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] != 1 {
        return every_pod_is_of_the_template(snapshot, now);
    }
    let name = set["status"]["currentRevision"].as_str().unwrap_or_default();
    let revision = snapshot.get(&ObjectKey::namespaced(REVISIONS, "default", name)).map(|revision| revision.value());
    let image = "/spec/template/spec/containers/0/image";
    let before = revision.as_ref().and_then(|revision| revision["data"].pointer(image)).cloned();
    let present = set.pointer(image).cloned();
    for (ordinal, found) in images_of(snapshot) {
        let wanted = if ordinal == 0 { &before } else { &present };
        if *wanted != Some(json!(found)) {
            return Err(format!("web-{ordinal} runs {found}, not {wanted:?}"));
        }
    }
    Ok(())
}

fn every_pod_of_its_names_is_controlled(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    if wanted(snapshot).is_none() {
        return Ok(());
    }
    let matching = actors::pods(snapshot).filter(|pod| actors::is_alive(pod) && is_matching(pod));
    match matching.filter(|pod| pod.metadata().controller().is_none()).count() {
        0 => Ok(()),
        orphans => Err(format!("{orphans} orphans")),
    }
}

fn no_pod_without_its_claim(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    for (ordinal, pod) in own(snapshot) {
        let claim = ObjectKey::namespaced(CLAIMS, "default", &format!("data-web-{ordinal}"));
        let names_it = pod["spec"]["volumes"].as_array().is_some_and(|volumes| !volumes.is_empty());
        if names_it && snapshot.get(&claim).is_none() {
            return Err(format!("web-{ordinal} is without {claim}"));
        }
    }
    Ok(())
}

fn nothing_is_created_for_the_dying(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let deleted = snapshot.get(&web()).and_then(|set| set.metadata().deletion_timestamp);
    let mut pods = actors::pods(snapshot);
    match pods.any(|pod| deleted.is_some_and(|deleted| pod.metadata().creation_timestamp > deleted)) {
        true => Err("a pod was created".into()),
        false => Ok(()),
    }
}

fn status_tells_what_is(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(set) = snapshot.get(&web()) else { return Ok(()) };
    let value = set.value();
    let pods = own(snapshot);
    let ready = pods.iter().filter(|(_, pod)| actors::is_ready(pod)).count() as u64;
    let expected = [
        ("replicas", pods.len() as u64),
        ("readyReplicas", ready),
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
