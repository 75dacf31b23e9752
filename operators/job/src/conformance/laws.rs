//! What must hold of Jobs: at every revision, and where nothing is left to do.

use std::sync::Arc;

use jiff::Timestamp;
use sampan_conformance::{actors, read};
use sampan_core::object::Object;
use sampan_core::store::Snapshot;
use serde_json::Value;

use super::work;
use crate::pod::TRACKING;

fn job(snapshot: &Snapshot) -> Option<Arc<Value>> {
    snapshot.get(&work()).map(|job| read(job))
}

/// The pods of the Job there is.
fn own(snapshot: &Snapshot) -> Vec<Arc<Object>> {
    let uid = snapshot.get(&work()).map(|job| job.metadata().uid.clone());
    let is_own = |pod: &&Arc<Object>| pod.metadata().controller().map(|owner| &owner.uid) == uid.as_ref();
    actors::pods(snapshot).filter(is_own).cloned().collect()
}

fn is_held(pod: &Object) -> bool {
    pod.metadata().finalizers.iter().any(|finalizer| **finalizer == *TRACKING)
}

fn phase(pod: &Object) -> String {
    read(pod)["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

fn told(job: &Value, field: &str) -> usize {
    job["status"][field].as_u64().unwrap_or_default() as usize
}

fn holds(job: &Value, kind: &str) -> bool {
    let mut conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn has_ended(job: &Value) -> bool {
    holds(job, "Complete") || holds(job, "Failed")
}

fn is_deleted(job: &Value) -> bool {
    !job["metadata"]["deletionTimestamp"].is_null()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expect: T) -> Result<(), String> {
    if found == expect { Ok(()) } else { Err(format!("{what}: {found:?}, should be {expect:?}")) }
}

/// At every revision, not at rest alone: a pod that succeeded is let go of in the commit that counts it.
pub(super) fn no_success_is_lost(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some((counted, shown)) = successes(snapshot) else { return Ok(()) };
    if counted < shown { Err(format!("{counted} successes are counted, {shown} pods show one")) } else { Ok(()) }
}

/// The same both ways, where nobody deletes pods that have succeeded.
pub(super) fn successes_are_counted_once(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some((counted, shown)) = successes(snapshot) else { return Ok(()) };
    same("status.succeeded", counted, shown)
}

/// How many are counted, and how many pods show one that may be counted.
fn successes(snapshot: &Snapshot) -> Option<(usize, usize)> {
    let job = job(snapshot).filter(|job| !is_deleted(job) && job["spec"]["completionMode"] != "Indexed")?;
    let is_shown = |pod: &&Arc<Object>| phase(pod) == "Succeeded" && !is_held(pod) && !pod.metadata().is_terminating();
    Some((told(&job, "succeeded"), own(snapshot).iter().filter(is_shown).count()))
}

pub(super) fn status_tells_what_is(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| !is_deleted(job) && job["spec"]["managedBy"].is_null()) else {
        return Ok(());
    };
    let pods = own(snapshot);
    let active = pods.iter().filter(|pod| actors::is_alive(pod)).count();
    let ready = pods.iter().filter(|pod| actors::is_alive(pod) && actors::is_ready(&read(pod))).count();
    same("status.active", told(&job, "active"), active)?;
    same("status.ready", told(&job, "ready"), ready)?;
    same("status.uncountedTerminatedPods", &job["status"]["uncountedTerminatedPods"], &serde_json::json!({}))?;
    let leaving = pods
        .iter()
        .filter(|pod| pod.metadata().is_terminating() && !matches!(phase(pod).as_str(), "Failed" | "Succeeded"));
    same("status.terminating", told(&job, "terminating"), leaving.count())
}

pub(super) fn no_pod_is_held_for_nothing(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let job = job(snapshot);
    let is_open = job.as_ref().is_some_and(|job| !is_deleted(job) && !has_ended(job));
    let is_ending = |pod: &Object| !matches!(phase(pod).as_str(), "Failed" | "Succeeded");
    match actors::pods(snapshot).find(|pod| is_held(pod) && !(is_open && is_ending(pod))) {
        Some(pod) if !is_waiting(pod, job.as_ref()) => Err(format!("{} is held", pod.key().name)),
        _ => Ok(()),
    }
}

/// Whether a failed pod is kept until its index has another.
fn is_waiting(pod: &Object, job: Option<&Arc<Value>>) -> bool {
    phase(pod) == "Failed" && job.is_some_and(|job| !job["spec"]["backoffLimitPerIndex"].is_null() && !has_ended(job))
}

pub(super) fn needed_pods_exist(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| !is_deleted(job) && !has_ended(job)) else { return Ok(()) };
    let is_idle = job["spec"]["suspend"] == true || !job["spec"]["managedBy"].is_null();
    let pods = own(snapshot);
    let is_busy = pods.iter().any(|pod| actors::is_alive(pod) || pod.metadata().is_terminating());
    // After a failure it waits by a timer, and is at rest meanwhile.
    let has_failed = pods.iter().any(|pod| phase(pod) == "Failed");
    if is_idle || is_busy || has_failed { Ok(()) } else { Err("no pod runs, and it has not ended".into()) }
}

pub(super) fn fails_by_the_second_failure(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| !is_deleted(job)) else { return Ok(()) };
    let failed = own(snapshot).iter().filter(|pod| phase(pod) == "Failed").count();
    same("status.failed", told(&job, "failed"), failed)?;
    same("Failed", holds(&job, "Failed"), failed == 2)
}

pub(super) fn fails_by_its_rule_alone(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| !is_deleted(job)) else { return Ok(()) };
    let exits = own(snapshot);
    let code =
        |pod: &Arc<Object>| read(pod)["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"].as_i64();
    let fatal = exits.iter().filter(|pod| code(pod) == Some(42)).count();
    same("Failed", holds(&job, "Failed"), fatal > 0)?;
    same("status.failed", told(&job, "failed"), fatal)
}

pub(super) fn no_two_pods(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let pods = own(snapshot);
    let running = pods.iter().filter(|pod| !matches!(phase(pod).as_str(), "Failed" | "Succeeded")).count();
    if running > 1 { Err(format!("{running} pods run")) } else { Ok(()) }
}

pub(super) fn suspended_pods_are_gone(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| !is_deleted(job) && !has_ended(job)) else { return Ok(()) };
    let suspended = job["spec"]["suspend"] == true;
    same("Suspended", holds(&job, "Suspended"), suspended)?;
    let running = own(snapshot).iter().filter(|pod| actors::is_alive(pod)).count();
    if suspended && running > 0 { Err(format!("{running} pods run")) } else { Ok(()) }
}

pub(super) fn no_index_has_two_pods(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let index = |pod: &Object| read(pod)["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"].to_string();
    let mut indexes: Vec<String> =
        own(snapshot).iter().filter(|pod| actors::is_alive(pod)).map(|pod| index(pod)).collect();
    indexes.sort();
    let all = indexes.len();
    indexes.dedup();
    if indexes.len() == all { Ok(()) } else { Err("an index has two pods".into()) }
}

pub(super) fn every_index_succeeds(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| holds(job, "Complete")) else { return Ok(()) };
    same("completedIndexes", job["status"]["completedIndexes"].as_str(), Some("0,1"))
}

pub(super) fn fails_by_its_deadline(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| !is_deleted(job)) else { return Ok(()) };
    let started = job["status"]["startTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let is_over = started.is_some_and(|started| now.as_second() - started.as_second() >= 30);
    let is_idle = own(snapshot).iter().all(|pod| !pod.metadata().is_terminating());
    if is_over && is_idle { same("Failed", holds(&job, "Failed"), true) } else { Ok(()) }
}

/// Once its time after the end is over.
pub(super) fn nothing_is_left(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot).filter(|job| has_ended(job) && !is_deleted(job)) else { return Ok(()) };
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let mut ended = conditions.filter(|condition| condition["type"] == "Complete" || condition["type"] == "Failed");
    let at = ended.next().and_then(|it| it["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
    match at.is_some_and(|at| now.as_second() - at.as_second() >= 10) {
        true => Err("it is still there".into()),
        false => Ok(()),
    }
}

pub(super) fn nothing_is_created_for_the_dying(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let deleted = snapshot.get(&work()).and_then(|job| job.metadata().deletion_timestamp);
    let mut pods = actors::pods(snapshot);
    match pods.any(|pod| deleted.is_some_and(|deleted| pod.metadata().creation_timestamp > deleted)) {
        true => Err("a pod was created".into()),
        false => Ok(()),
    }
}

pub(super) fn nothing_is_done(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(job) = job(snapshot) else { return Ok(()) };
    same("what is told", job["status"].as_object().map_or(0, serde_json::Map::len), 0)?;
    same("pods", own(snapshot).len(), 0)
}
