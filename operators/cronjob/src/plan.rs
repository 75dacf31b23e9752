//! A CronJob and its Jobs as the machine sees them, and what is to be done about them. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job};
use sampan_podset::controls;

use crate::calendar::{Calendar, Trouble};
use crate::job;

/// From so many missed times on users are told: somebody set the clock, or the schedule is not what was meant.
const MISSED_MAX: i64 = 100;
/// The most Jobs deleted in one commit, each with an Event.
const DELETIONS_PER_STEP_MAX: usize = 200;

/// A Job that could not be created, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

/// What is read of the store for one look.
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) cron: Arc<CronJob>,
    /// The Jobs that name the CronJob as owner.
    pub(crate) owned: Vec<Arc<Job>>,
    pub(crate) refusal: Option<Refusal>,
}

/// One look at a CronJob.
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) cron: Arc<CronJob>,
    /// The Jobs of the CronJob, the first made first.
    pub(crate) jobs: Vec<Arc<Job>>,
    pub(crate) calendar: Result<Calendar, Trouble>,
    /// A time a Job is to be made for.
    pub(crate) due: Option<Timestamp>,
    /// Whether somebody else's Job has the name of that one.
    pub(crate) is_taken: bool,
    pub(crate) refusal: Option<Refusal>,
}

impl View {
    /// Makes sense of what was read. Whether the due Job's name is taken is looked up after it.
    pub(crate) fn new(reading: Reading) -> Self {
        let Reading { now, cron, owned, refusal } = reading;
        let mut jobs: Vec<Arc<Job>> = owned.into_iter().filter(|job| controls(&*cron, &**job)).collect();
        jobs.sort_by_key(|job| {
            let started = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
            (started.is_none(), started, job.metadata.name.clone())
        });
        let spec = cron.spec.as_ref();
        let schedule = spec.map(|spec| spec.schedule.as_str()).unwrap_or_default();
        let calendar = Calendar::new(schedule, spec.and_then(|spec| spec.time_zone.as_deref()));
        let mut view = Self { now, cron, jobs, calendar, due: None, is_taken: false, refusal };
        view.due = view.find_due();
        view
    }

    pub(crate) fn spec(&self) -> Option<&CronJobSpec> {
        self.cron.spec.as_ref()
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.cron.metadata.deletion_timestamp.is_some()
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.spec().and_then(|spec| spec.suspend) == Some(true)
    }

    fn policy(&self) -> &str {
        self.spec().and_then(|spec| spec.concurrency_policy.as_deref()).unwrap_or("Allow")
    }

    /// The schedule as it is written, with its time zone.
    pub(crate) fn schedule(&self) -> String {
        let spec = self.cron.spec.as_ref();
        let zone = spec.and_then(|spec| spec.time_zone.as_deref()).unwrap_or("UTC");
        format!("schedule {:?} in {zone}", spec.map(|spec| spec.schedule.as_str()).unwrap_or_default())
    }

    /// The last time a Job was made for, by what was told and by the Jobs there are.
    pub(crate) fn last_schedule(&self) -> Option<Timestamp> {
        let told = self.cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0);
        let seen = self.jobs.iter().filter_map(|job| job::scheduled_at(job)).filter(|at| *at <= self.now).max();
        told.max(seen)
    }

    /// The last time that was served, or when there was none yet.
    fn served(&self) -> Timestamp {
        let created = self.cron.metadata.creation_timestamp.as_ref().map(|time| time.0);
        self.last_schedule().or(created).unwrap_or(self.now)
    }

    fn calendar(&self) -> Option<&Calendar> {
        self.calendar.as_ref().ok().filter(|_| !self.is_terminating() && !self.is_suspended())
    }

    /// The last of the times that have passed, unless it is served, or later than a start may be.
    fn find_due(&self) -> Option<Timestamp> {
        let lateness = self.spec().and_then(|spec| spec.starting_deadline_seconds).map(SignedDuration::from_secs);
        let last = self.calendar()?.last(self.served(), self.now);
        last.filter(|due| lateness.is_none_or(|lateness| self.now.duration_since(*due) < lateness))
    }

    /// Whether so many times were missed that users should look.
    pub(crate) fn has_missed_many(&self) -> bool {
        let lateness = self.spec().and_then(|spec| spec.starting_deadline_seconds);
        let counts = self.calendar().filter(|_| lateness.is_none());
        counts.is_some_and(|calendar| calendar.times(self.served(), self.now) > MISSED_MAX)
    }

    /// When it is due next, though nothing changes. A schedule of seconds counts from the last time.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let (calendar, served) = (self.calendar()?, self.served());
        calendar.next(calendar.last(served, self.now).unwrap_or(served))
    }

    /// The Jobs made by schedule that have not ended.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.iter().filter(|job| job::end(job).is_none() && job::scheduled_at(job).is_some())
    }

    /// Whether a Job that is due may not be made because another runs.
    pub(crate) fn is_blocked(&self) -> bool {
        self.due.is_some() && self.policy() == "Forbid" && self.active().next().is_some()
    }

    /// The Jobs the one that is due takes the place of.
    pub(crate) fn replaced(&self) -> Vec<Arc<Job>> {
        let replaces = self.due.is_some() && self.policy() == "Replace" && !self.is_taken;
        self.active().filter(|job| replaces && job.metadata.deletion_timestamp.is_none()).cloned().collect()
    }

    /// The Jobs that have ended and are no longer kept, the first ones first.
    pub(crate) fn outdated(&self) -> Vec<Arc<Job>> {
        let ended = |succeeded: bool, limit: Option<i32>| -> Vec<Arc<Job>> {
            let jobs = self.jobs.iter().filter(|job| job::end(job).is_some() && job::has_succeeded(job) == succeeded);
            let jobs: Vec<_> = jobs.filter(|job| job.metadata.deletion_timestamp.is_none()).collect();
            let kept = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
            let more = jobs.len().saturating_sub(kept);
            jobs.into_iter().take(more).cloned().collect()
        };
        let limits = self.spec().map(|spec| (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit));
        let (succeeded, failed) = limits.unwrap_or_default();
        let mut outdated = [ended(true, succeeded), ended(false, failed)].concat();
        outdated.truncate(DELETIONS_PER_STEP_MAX);
        outdated
    }
}
