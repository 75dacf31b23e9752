//! What must hold of CronJobs: at every revision, and where nothing is left to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::object::Object;
use sampan_core::store::Snapshot;
use serde_json::Value;

use super::{SCHEDULED, condition, jobs, report};

fn cron(snapshot: &Snapshot) -> Option<Value> {
    snapshot.get(&report()).filter(|cron| !cron.metadata().is_terminating()).map(|cron| cron.value())
}

/// The Jobs of the CronJob there is.
fn own(snapshot: &Snapshot) -> Vec<Arc<Object>> {
    let uid = snapshot.get(&report()).map(|cron| cron.metadata().uid.clone());
    let is_own = |job: &&Arc<Object>| job.metadata().controller().map(|owner| &owner.uid) == uid.as_ref();
    jobs(snapshot).filter(is_own).cloned().collect()
}

fn scheduled(job: &Object) -> Option<Timestamp> {
    job.value()["metadata"]["annotations"][SCHEDULED].as_str()?.parse().ok()
}

fn running(snapshot: &Snapshot) -> Vec<Arc<Object>> {
    let mut jobs = own(snapshot);
    jobs.retain(|job| condition(job).is_none() && !job.metadata().is_terminating());
    jobs
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expect: T) -> Result<(), String> {
    if found == expect { Ok(()) } else { Err(format!("{what}: {found:?}, should be {expect:?}")) }
}

pub(super) fn a_time_has_one_job(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let times: Vec<Option<Timestamp>> = own(snapshot).iter().map(|job| scheduled(job)).collect();
    let last = cron(snapshot).and_then(|cron| cron["status"]["lastScheduleTime"].as_str()?.parse::<Timestamp>().ok());
    let distinct: BTreeSet<_> = times.iter().copied().collect();
    same("times of Jobs", distinct.len(), times.len())?;
    match times.into_iter().flatten().find(|time| last.is_none_or(|last| *time > last)) {
        Some(time) if cron(snapshot).is_some() => {
            Err(format!("{time} has a Job and is not told to be served: {last:?}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn no_job_runs_beside_another(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let is_allowed = cron(snapshot).is_none_or(|cron| cron["spec"]["concurrencyPolicy"] == "Allow");
    let running = running(snapshot).len();
    if running > 1 && !is_allowed { Err(format!("{running} Jobs run")) } else { Ok(()) }
}

pub(super) fn status_tells_what_is(snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
    let Some(cron) = cron(snapshot) else { return Ok(()) };
    let told: BTreeSet<String> = cron["status"]["active"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|active| active["name"].as_str().map(str::to_owned))
        .collect();
    // Where Jobs go by the calendar for ever, the kit may look at the very moment one is made: it is told right after.
    let is_told = |job: &Arc<Object>| job.metadata().creation_timestamp < now || told.contains(&*job.key().name);
    let active = own(snapshot).into_iter().filter(|job| condition(job).is_none() && is_told(job));
    same("status.active", told.clone(), active.map(|job| job.key().name.to_string()).collect())?;
    let succeeded = own(snapshot).iter().any(|job| condition(job).as_deref() == Some("Complete"));
    let is_told = cron["status"]["lastSuccessfulTime"].is_string();
    if succeeded && !is_told { Err("no success is told".into()) } else { Ok(()) }
}

pub(super) fn history_is_short(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let Some(cron) = cron(snapshot) else { return Ok(()) };
    for (how, limit) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")] {
        let kept = own(snapshot).iter().filter(|job| condition(job).as_deref() == Some(how)).count() as u64;
        let most = cron["spec"][limit].as_u64().unwrap_or(u64::MAX);
        if kept > most {
            return Err(format!("{kept} Jobs are kept that are {how}, {most} may be"));
        }
    }
    Ok(())
}

pub(super) fn no_job_is_late(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let late = |job: &&Arc<Object>| {
        scheduled(job).is_some_and(|at| job.metadata().creation_timestamp.duration_since(at).as_secs() > 60)
    };
    match own(snapshot).iter().find(late) {
        Some(job) => Err(format!("{} came late", job.key().name)),
        None => Ok(()),
    }
}

pub(super) fn nothing_is_created_for_the_dying(snapshot: &Snapshot, _: Timestamp) -> Result<(), String> {
    let deleted = snapshot.get(&report()).and_then(|cron| cron.metadata().deletion_timestamp);
    let mut made = jobs(snapshot);
    match made.any(|job| deleted.is_some_and(|deleted| job.metadata().creation_timestamp > deleted)) {
        true => Err("a Job was made".into()),
        false => Ok(()),
    }
}
