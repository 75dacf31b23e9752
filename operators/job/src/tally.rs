//! What has succeeded and failed so far, counted in the status or not, and what that makes of the Job. Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::JobCondition;
use k8s_openapi::api::core::v1::Pod;

use crate::indexes::Indexes;
use crate::plan::View;
use crate::pod::{self, Failures};
use crate::policy::{self, Consequence};

/// How a Job ends, once it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
}

/// What has become of a Job: from here on its pods only go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What has succeeded and failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Pods that succeeded, or indexes.
    pub(crate) succeeded: i32,
    /// The indexes that succeeded.
    pub(crate) completed: Indexes,
    /// The indexes that failed, where each has a limit of its own.
    pub(crate) failed_indexes: Option<Indexes>,
    /// Pods that failed.
    pub(crate) failed: i32,
}

impl Verdict {
    pub(crate) fn success(reason: &str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Success, reason: reason.into(), message: message.into() }
    }

    fn failure(reason: &str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failure, reason: reason.into(), message: message.into() }
    }

    fn told(outcome: Outcome, condition: &JobCondition) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self { outcome, reason: text(&condition.reason), message: text(&condition.message) }
    }
}

impl View {
    /// Everything counted, and everything that is to be.
    pub(crate) fn tally(&self) -> Tally {
        let status = self.job.status.as_ref();
        let before = |field: Option<i32>| field.unwrap_or(0);
        let fresh = || self.pods.iter().filter(|pod| self.is_uncounted(pod));
        let failed = fresh().filter(|pod| self.is_failed(pod) && !self.is_ignored(pod)).count();
        let mut tally = Tally {
            succeeded: before(status.and_then(|status| status.succeeded))
                + size(fresh().filter(|pod| pod::phase(pod) == "Succeeded").count())
                + size(self.listed(Outcome::Success).len()),
            failed: before(status.and_then(|status| status.failed))
                + size(failed)
                + size(self.listed(Outcome::Failure).len()),
            ..Tally::default()
        };
        if let Some(completions) = self.completions().filter(|_| self.is_indexed()) {
            let known = status.and_then(|status| status.completed_indexes.as_deref()).unwrap_or_default();
            let succeeded = fresh().filter(|pod| pod::phase(pod) == "Succeeded").filter_map(|pod| pod::index_of(pod));
            tally.completed = Indexes::parse(known, completions).with(succeeded);
            tally.succeeded = tally.completed.total();
            tally.failed_indexes = self.limit_per_index().map(|limit| {
                let known = status.and_then(|status| status.failed_indexes.as_deref()).unwrap_or_default();
                let failed = fresh().filter(|pod| self.has_failed_its_index(pod, limit));
                Indexes::parse(known, completions).with(failed.filter_map(|pod| pod::index_of(pod)))
            });
        }
        tally
    }

    /// The uids of pods the status lists as ended that way and not counted.
    pub(crate) fn listed(&self, outcome: Outcome) -> BTreeSet<&str> {
        let uncounted = self.job.status.as_ref().and_then(|status| status.uncounted_terminated_pods.as_ref());
        let list = uncounted.and_then(|uncounted| match outcome {
            Outcome::Success => uncounted.succeeded.as_ref(),
            Outcome::Failure => uncounted.failed.as_ref(),
        });
        list.into_iter().flatten().map(String::as_str).collect()
    }

    /// Whether the pod's end would count, and has not been counted nor listed.
    pub(crate) fn is_uncounted(&self, pod: &Pod) -> bool {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let is_listed = [Outcome::Success, Outcome::Failure].iter().any(|outcome| self.listed(*outcome).contains(uid));
        pod::is_tracked(pod) && self.has_place(pod) && !is_listed
    }

    /// Whether the pod's failure is one the Job passes over.
    pub(crate) fn is_ignored(&self, pod: &Pod) -> bool {
        self.consequence(pod) == Consequence::Ignored
    }

    pub(crate) fn consequence(&self, pod: &Pod) -> Consequence {
        policy::consequence(self.spec().and_then(|spec| spec.pod_failure_policy.as_ref()), pod)
    }

    fn has_failed_its_index(&self, pod: &Pod, limit: i32) -> bool {
        self.is_failed(pod)
            && match self.consequence(pod) {
                Consequence::FailsIndex => true,
                Consequence::Ignored => false,
                Consequence::Counts | Consequence::FailsJob(_) => Failures::before(pod).counted >= limit,
            }
    }

    /// What has become of the Job, if that is known: first by what was told, then by what is seen.
    pub(crate) fn verdict(&self, tally: &Tally) -> Option<Verdict> {
        if let Some(met) = self.condition("SuccessCriteriaMet") {
            return Some(Verdict::told(Outcome::Success, met));
        }
        if let Some(target) = self.condition("FailureTarget") {
            return Some(Verdict::told(Outcome::Failure, target));
        }
        self.failed_by_policy()
            .or_else(|| self.failed_too_often(tally))
            .or_else(|| self.took_too_long())
            .or_else(|| self.failed_by_indexes(tally))
            .or_else(|| self.succeeded_by_policy(tally))
    }

    fn failed_by_policy(&self) -> Option<Verdict> {
        self.spec()?.pod_failure_policy.as_ref()?;
        self.pods.iter().filter(|pod| self.is_failed(pod)).find_map(|pod| match self.consequence(pod) {
            Consequence::FailsJob(message) => Some(Verdict::failure("PodFailurePolicy", message)),
            _ => None,
        })
    }

    fn failed_too_often(&self, tally: &Tally) -> Option<Verdict> {
        let limit = self.spec()?.backoff_limit.unwrap_or(i32::MAX);
        let is_past = tally.failed > limit || self.restarts().is_some_and(|restarts| restarts >= limit.max(1));
        is_past.then(|| Verdict::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    }

    /// How often containers were started again, where they are instead of their pods.
    fn restarts(&self) -> Option<i32> {
        let policy = self.spec()?.template.spec.as_ref()?.restart_policy.as_deref();
        let alive = self.pods.iter().filter(|pod| matches!(pod::phase(pod), "Running" | "Pending"));
        let statuses = alive.filter_map(|pod| pod.status.as_ref()).flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        });
        (policy == Some("OnFailure")).then(|| statuses.map(|container| container.restart_count).sum())
    }

    fn took_too_long(&self) -> Option<Verdict> {
        let is_over = self.deadline().is_some_and(|deadline| deadline <= self.now);
        is_over.then(|| Verdict::failure("DeadlineExceeded", "Job was active longer than specified deadline"))
    }

    /// When the Job has been active for as long as it may.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let allowed = self.spec()?.active_deadline_seconds.filter(|_| !self.is_suspended())?;
        let started = self.job.status.as_ref().and_then(|status| status.start_time.as_ref());
        let started = started.filter(|_| !self.is_resuming()).map_or(self.now, |started| started.0);
        started.checked_add(SignedDuration::from_secs(allowed)).ok()
    }

    fn failed_by_indexes(&self, tally: &Tally) -> Option<Verdict> {
        let failed = tally.failed_indexes.as_ref()?.total();
        if self.spec()?.max_failed_indexes.is_some_and(|most| failed > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(Verdict::failure("MaxFailedIndexesExceeded", message));
        }
        let is_through = failed > 0 && failed + tally.completed.total() >= self.completions()?;
        is_through.then(|| Verdict::failure("FailedIndexes", "Job has failed indexes"))
    }

    fn succeeded_by_policy(&self, tally: &Tally) -> Option<Verdict> {
        let policy = self.spec()?.success_policy.as_ref().filter(|_| self.is_indexed())?;
        let rule = policy::met(policy, &tally.completed, self.completions()?)?;
        Some(Verdict::success("SuccessPolicy", format!("Matched rules at index {rule}")))
    }
}

fn size(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
