//! Small worlds with a ReplicaSet in them, generic over the operator: the shipping one, or a mutant.

#![allow(dead_code, reason = "each test binary uses its part")]

use jiff::Timestamp;
use sampan_conformance::{Deed, Edit, World};
use sampan_core::gateway::{Admission, AdmissionRequest};
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::Operator;
use sampan_core::status::Status;
use sampan_core::store::Snapshot;
use sampan_replicaset::resource::{REPLICA_SETS, definition};
use serde_json::{Value, json};

pub(crate) const PODS: ResourceType = ResourceType::new("", "pods");
const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");

pub(crate) fn replica_set(replicas: usize, min_ready_seconds: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "minReadySeconds": min_ready_seconds, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "here"},
            },
        },
    })
}

pub(crate) fn web() -> ObjectKey {
    ObjectKey::namespaced(REPLICA_SETS, "default", "web")
}

fn world<O: Operator + Clone>(name: &'static str, operator: O, replicas: usize, min_ready_seconds: usize) -> World {
    World::new(name, move |driver| driver.add(operator.clone()))
        .serving(definition())
        .holding(replica_set(replicas, min_ready_seconds))
        .at_rest("as many pods as wanted", as_many_as_wanted)
        .at_rest("the status tells what is", status_tells_what_is)
        .at_rest("every matching pod is controlled", every_matching_pod_is_controlled)
}

/// A world, made where it is explored.
type Make<O> = fn(O) -> World;

/// All worlds.
pub(crate) fn all<O: Operator + Clone>() -> [Make<O>; 6] {
    [scaled, failing, claimed, limited, deleted, patient]
}

/// A user scales up and down while pods come and go.
pub(crate) fn scaled<O: Operator + Clone>(operator: O) -> World {
    world("scaled", operator, 1, 0)
        .actor_times(2, "user", |snapshot, _| [0, 2].into_iter().filter_map(|size| scale_to(snapshot, size)).collect())
        .actor("kubelet", |snapshot, now| [ready(snapshot, now), removed(snapshot)].concat())
}

/// Pods lose their readiness, fail, and are deleted.
pub(crate) fn failing<O: Operator + Clone>(operator: O) -> World {
    world("failing", operator, 1, 0)
        .actor("kubelet", |snapshot, now| [ready(snapshot, now), removed(snapshot), unready(snapshot, now)].concat())
        .actor_times(1, "user", |snapshot, _| pods(snapshot).map(|pod| deed(pod, "is deleted", Edit::Delete)).collect())
        .actor_times(1, "disaster", |snapshot, _| pods(snapshot).map(|pod| phase(pod, "Failed")).collect())
}

/// Orphans appear and pods get other labels.
pub(crate) fn claimed<O: Operator + Clone>(operator: O) -> World {
    world("claimed", operator, 1, 0)
        .actor("kubelet", |snapshot, now| [ready(snapshot, now), removed(snapshot)].concat())
        .actor_times(1, "stranger", |_, _| vec![orphan()])
        .actor_times(1, "user", |snapshot, _| pods(snapshot).map(relabelled).collect())
}

/// A quota lets only so many pods be created.
pub(crate) fn limited<O: Operator + Clone>(operator: O) -> World {
    let mut world = world("limited", operator, 2, 0)
        .holding(quota(1))
        .actor_times(2, "administrator", |snapshot, _| {
            let present = snapshot.get(&quota_key()).map(|quota| quota.value());
            let other = [0, 1, 3].map(quota).into_iter();
            let differs = |quota: &Value| present.as_ref().is_none_or(|it| it["data"] != quota["data"]);
            other
                .filter(differs)
                .map(|quota| Deed { what: format!("quota {}", quota["data"]), edit: Edit::Update(quota) })
                .collect()
        })
        .actor("kubelet", |snapshot, now| [ready(snapshot, now), removed(snapshot)].concat())
        .actor_times(1, "user", |snapshot, _| {
            pods(snapshot).map(|pod| deed(pod, "is deleted", Edit::Delete)).collect()
        });
    world.admissions = || vec![Box::new(Quota)];
    world.at_rest = vec![("the status tells what is", Box::new(status_tells_what_is))];
    world
}

/// The ReplicaSet is deleted while it waits for its dependents.
pub(crate) fn deleted<O: Operator + Clone>(operator: O) -> World {
    let mut set = replica_set(1, 0);
    set["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let mut world = world("deleted", operator, 1, 0)
        .actor_times(1, "user", |_, _| vec![Deed { what: "web is deleted".into(), edit: Edit::Delete(web()) }])
        .actor("kubelet", |snapshot, now| [ready(snapshot, now), unready(snapshot, now)].concat());
    world.initial = vec![set];
    world.at_rest = vec![("the status tells what is", Box::new(status_tells_what_is))];
    world.always("no pod is created once deletion was asked for", |snapshot, _| {
        let is_terminating = snapshot.get(&web()).is_some_and(|set| set.metadata().is_terminating());
        let created_since = pods(snapshot).filter(|pod| {
            let deleted = snapshot.get(&web()).and_then(|set| set.metadata().deletion_timestamp);
            deleted.is_some_and(|deleted| pod.metadata().creation_timestamp > deleted)
        });
        if is_terminating && created_since.count() > 0 { Err("a pod was created".into()) } else { Ok(()) }
    })
}

/// Pods count as available only after ten seconds.
pub(crate) fn patient<O: Operator + Clone>(operator: O) -> World {
    let mut world = world("patient", operator, 1, 10)
        .actor("kubelet", |snapshot, now| [ready(snapshot, now), removed(snapshot)].concat())
        .actor_times(2, "disaster", |snapshot, now| unready(snapshot, now));
    world.ages_seconds = 11;
    world
}

fn deed(pod: &Object, what: &str, edit: fn(ObjectKey) -> Edit) -> Deed {
    Deed { what: format!("{} {what}", pod.key().name), edit: edit(pod.key().clone()) }
}

pub(crate) fn pods(snapshot: &Snapshot) -> impl Iterator<Item = &std::sync::Arc<Object>> {
    snapshot.list(PODS, Some("default"), None)
}

fn scale_to(snapshot: &Snapshot, size: i64) -> Option<Deed> {
    let mut set = snapshot.get(&web())?.value();
    if set["spec"]["replicas"] == size {
        return None;
    }
    set["spec"]["replicas"] = json!(size);
    Some(Deed { what: format!("web is scaled to {size}"), edit: Edit::Update(set) })
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
}

fn with_readiness(pod: &Object, ready: bool, now: Timestamp) -> Deed {
    let mut value = pod.value();
    value["status"]["phase"] = json!("Running");
    let status = if ready { "True" } else { "False" };
    value["status"]["conditions"] = json!([{"type": "Ready", "status": status, "lastTransitionTime": now.to_string()}]);
    let what = if ready { "becomes ready" } else { "is no longer ready" };
    Deed { what: format!("{} {what}", pod.key().name), edit: Edit::UpdateStatus(value) }
}

pub(crate) fn ready(snapshot: &Snapshot, now: Timestamp) -> Vec<Deed> {
    let waiting = pods(snapshot).filter(|pod| !is_ready(&pod.value()) && is_alive(pod));
    waiting.map(|pod| with_readiness(pod, true, now)).collect()
}

fn unready(snapshot: &Snapshot, now: Timestamp) -> Vec<Deed> {
    pods(snapshot).filter(|pod| is_ready(&pod.value())).map(|pod| with_readiness(pod, false, now)).collect()
}

fn removed(snapshot: &Snapshot) -> Vec<Deed> {
    let going = pods(snapshot).filter(|pod| pod.metadata().is_terminating());
    going.map(|pod| deed(pod, "has ended", Edit::Remove)).collect()
}

fn phase(pod: &std::sync::Arc<Object>, phase: &str) -> Deed {
    let mut value = pod.value();
    value["status"] = json!({"phase": phase});
    Deed { what: format!("{} is {phase}", pod.key().name), edit: Edit::UpdateStatus(value) }
}

fn relabelled(pod: &std::sync::Arc<Object>) -> Deed {
    let mut value = pod.value();
    value["metadata"]["labels"]["app"] = json!("other");
    Deed { what: format!("{} is relabelled", pod.key().name), edit: Edit::Update(value) }
}

pub(crate) fn orphan() -> Deed {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "orphan-", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}], "nodeName": "here"},
    });
    Deed { what: "an orphan appears".into(), edit: Edit::Create(object) }
}

fn is_alive(pod: &Object) -> bool {
    let phase = pod.value()["status"]["phase"].as_str().map(str::to_owned);
    !pod.metadata().is_terminating() && !matches!(phase.as_deref(), Some("Failed" | "Succeeded"))
}

/// The pods that count.
pub(crate) fn active(snapshot: &Snapshot) -> Vec<Value> {
    let uid = snapshot.get(&web()).map(|set| set.metadata().uid.clone());
    let owned = pods(snapshot).filter(|pod| pod.metadata().controller().map(|owner| &owner.uid) == uid.as_ref());
    owned.filter(|pod| is_alive(pod)).map(|pod| pod.value()).collect()
}

fn as_many_as_wanted(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(set) = snapshot.get(&web()).map(|set| set.value()) else { return Ok(()) };
    let (wanted, found) = (set["spec"]["replicas"].as_u64().unwrap_or_default() as usize, active(snapshot).len());
    if wanted == found { Ok(()) } else { Err(format!("{found} pods, wanted {wanted}")) }
}

fn status_tells_what_is(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(set) = snapshot.get(&web()) else { return Ok(()) };
    let value = set.value();
    let status = &value["status"];
    let active = active(snapshot);
    let ready = active.iter().filter(|pod| is_ready(pod)).count();
    let wait = value["spec"]["minReadySeconds"].as_i64().unwrap_or_default();
    let since = |pod: &Value| {
        pod["status"]["conditions"][0]["lastTransitionTime"].as_str().and_then(|it| it.parse::<Timestamp>().ok())
    };
    let is_available =
        |pod: &&Value| is_ready(pod) && since(pod).is_some_and(|at| now.as_second() - at.as_second() >= wait);
    let expected = [
        ("replicas", active.len() as u64),
        ("readyReplicas", ready as u64),
        ("availableReplicas", active.iter().filter(is_available).count() as u64),
        ("observedGeneration", set.metadata().generation as u64),
    ];
    for (field, expect) in expected {
        let told = status[field].as_u64().unwrap_or_default();
        if told != expect {
            return Err(format!("status.{field} is {told}, should be {expect}"));
        }
    }
    Ok(())
}

fn every_matching_pod_is_controlled(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let orphans =
        pods(snapshot).filter(|pod| is_alive(pod) && pod.metadata().labels.get("app").map(|app| &**app) == Some("web"));
    match orphans.filter(|pod| pod.metadata().controller().is_none()).count() {
        0 => Ok(()),
        orphans => Err(format!("{orphans} orphans")),
    }
}

fn quota_key() -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", "quota")
}

fn quota(pods: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "quota", "namespace": "default"}, "data": {"pods": pods.to_string()}})
}

/// Refuses pods beyond the number the quota names.
struct Quota;

impl Admission for Quota {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PODS)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, _object: &mut Value) -> Result<(), Status> {
        let quota = request.snapshot.get(&quota_key());
        let limit = quota.and_then(|quota| quota.value()["data"]["pods"].as_str()?.parse().ok());
        if limit.is_some_and(|limit: usize| pods(request.snapshot).count() >= limit) {
            return Err(Status::forbidden("exceeded quota: pods"));
        }
        Ok(())
    }
}
