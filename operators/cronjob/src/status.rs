//! The status a CronJob should have, computed from its Jobs.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_core::operator::Kind as _;

use crate::job;
use crate::plan::View;

/// The status to write, where a Job is being made for that time in the same commit.
pub(crate) fn status(view: &View, started: Option<Timestamp>) -> CronJobStatus {
    let before = view.cron.status.clone().unwrap_or_default();
    let replaced = if started.is_some() { view.replaced() } else { Vec::new() };
    let active = view.active().filter(|job| !replaced.contains(job));
    let active: Vec<ObjectReference> = active.map(|job| reference(job)).collect();
    let succeeded = view.jobs.iter().filter(|job| job::has_succeeded(job));
    let ends = succeeded.filter_map(|job| job.status.as_ref()?.completion_time.clone());
    CronJobStatus {
        active: (!active.is_empty()).then_some(active),
        last_schedule_time: view.last_schedule().max(started).map(Time),
        last_successful_time: ends.chain(before.last_successful_time).max_by_key(|time| time.0),
    }
}

/// The Jobs the status still tells to be active and that are not: those that have ended, with how, and those that are gone.
pub(crate) fn ended(view: &View) -> Vec<(String, Option<String>)> {
    let told = view.cron.status.iter().flat_map(|status| status.active.iter().flatten());
    let ended = told.filter_map(|told| {
        let name = told.name.clone().unwrap_or_default();
        match view.jobs.iter().find(|job| job.metadata.uid == told.uid) {
            None => Some((name, None)),
            Some(job) => job::end(job).map(|end| (name, Some(end.type_.clone()))),
        }
    });
    ended.collect()
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some(Job::API_VERSION.to_owned()),
        kind: Some(Job::KIND.to_owned()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        uid: job.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
