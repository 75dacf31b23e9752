//! The status a Job should have, computed from its pods and what is done about them.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::{JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_core::operator::EventKind;

use crate::plan::View;
use crate::pod;
use crate::tally::{Outcome, Verdict};

/// Something to tell users: the kind, the reason and the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub(crate) kind: EventKind,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl News {
    fn normal(reason: &str, message: &str) -> Self {
        Self { kind: EventKind::Normal, reason: reason.into(), message: message.into() }
    }

    fn warning(reason: &str, message: &str) -> Self {
        Self { kind: EventKind::Warning, reason: reason.into(), message: message.into() }
    }
}

/// The status to write. A Job that has ended keeps what it counted.
pub(crate) fn status(view: &View) -> JobStatus {
    let mut status = view.job.status.clone().unwrap_or_default();
    if view.is_foreign() {
        return status;
    }
    if view.end().is_some() {
        return JobStatus {
            active: None,
            ready: Some(0),
            terminating: Some(0),
            uncounted_terminated_pods: Some(UncountedTerminatedPods::default()),
            ..status
        };
    }
    if !view.is_suspended() && (status.start_time.is_none() || view.is_resuming()) {
        status.start_time = Some(Time(view.now));
    }
    count(view, &mut status);
    if !view.is_terminating() {
        let work = &view.work;
        status.active = some(work.active);
        status.ready = Some(size(work.ready));
        status.terminating = Some(size(work.terminating));
        conclude(view, &mut status);
    }
    status
}

/// What is news to users in the status to write.
pub(crate) fn news(view: &View, status: &JobStatus) -> Vec<News> {
    let mut news = Vec::new();
    let begins = |kind: &str| holds(status, kind).is_some() && view.condition(kind).is_none();
    if begins("Suspended") {
        news.push(News::normal("Suspended", "Job suspended"));
    }
    if view.condition("Suspended").is_some() && holds(status, "Suspended").is_none() {
        news.push(News::normal("Resumed", "Job resumed"));
    }
    if begins("Complete") {
        if view.completions().is_some_and(|completions| status.succeeded.unwrap_or(0) > completions) {
            let message = "Too many succeeded pods running after completion count reached";
            news.push(News::warning("TooManySucceededPods", message));
        }
        news.push(News::normal("Completed", "Job completed"));
    }
    if let Some(failed) = holds(status, "Failed").filter(|_| begins("Failed")) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        news.push(News::warning(&text(&failed.reason), &text(&failed.message)));
    }
    news
}

fn holds<'s>(status: &'s JobStatus, kind: &str) -> Option<&'s JobCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == kind && condition.status == "True")
}

/// Counts the ends of the pods that are let go, in the commit that lets them go.
fn count(view: &View, status: &mut JobStatus) {
    let released: BTreeSet<&str> = view.work.release.iter().filter_map(|pod| uid(pod)).collect();
    // A pod that is listed is counted when it is let go, or if it was and the count got lost.
    let held: BTreeSet<&str> = view.pods.iter().filter(|pod| pod::is_tracked(pod)).filter_map(|pod| uid(pod)).collect();
    let is_counted = |uid: &&str| !held.contains(*uid) || released.contains(*uid);
    let listed = |outcome: Outcome| {
        let (counted, left): (Vec<&str>, Vec<&str>) = view.listed(outcome).into_iter().partition(is_counted);
        let left: Vec<String> = left.into_iter().map(str::to_owned).collect();
        (counted.len(), (!left.is_empty()).then_some(left))
    };
    let fresh = || view.work.release.iter().filter(|pod| view.is_uncounted(pod));
    let (succeeded, succeeded_left) = listed(Outcome::Success);
    let (failed, failed_left) = listed(Outcome::Failure);
    let succeeded = succeeded + fresh().filter(|pod| pod::phase(pod) == "Succeeded").count();
    let failed = failed + fresh().filter(|pod| counts_as_failed(view, pod)).count();
    if view.is_indexed() {
        let completed = view.work.tally.completed.to_string();
        status.completed_indexes = (!completed.is_empty()).then_some(completed);
        status.succeeded = Some(view.work.tally.completed.total()).filter(|total| *total != 0);
        status.failed_indexes = view.work.tally.failed_indexes.as_ref().map(ToString::to_string);
    } else {
        status.succeeded = more(status.succeeded, succeeded);
    }
    status.failed = more(status.failed, failed);
    status.uncounted_terminated_pods = Some(UncountedTerminatedPods { succeeded: succeeded_left, failed: failed_left });
}

/// Once a Job has failed, all that has not succeeded failed with it. Once it has succeeded, what is stopped did not fail.
fn counts_as_failed(view: &View, pod: &Pod) -> bool {
    let is_failed = !(pod::is_terminating(pod) && pod::is_dismissed(pod))
        && match view.work.verdict.as_ref().map(|verdict| verdict.outcome) {
            Some(Outcome::Failure) => pod::phase(pod) != "Succeeded",
            Some(Outcome::Success) => pod::phase(pod) == "Failed",
            None => view.is_failed(pod),
        };
    is_failed && !view.is_ignored(pod)
}

/// Tells what has become of the Job; and that it has ended, once nothing is left to be counted or waited for.
fn conclude(view: &View, status: &mut JobStatus) {
    let Some(verdict) = &view.work.verdict else { return suspend(view, status) };
    let (target, end) = match verdict.outcome {
        Outcome::Success => ("SuccessCriteriaMet", "Complete"),
        Outcome::Failure => ("FailureTarget", "Failed"),
    };
    if view.condition(target).is_none() {
        put(status, condition(view, target, verdict));
    }
    let uncounted = status.uncounted_terminated_pods.as_ref();
    let is_counted = uncounted.is_none_or(|uncounted| uncounted.succeeded.is_none() && uncounted.failed.is_none());
    if view.work.is_counted && is_counted && view.work.active == 0 && view.work.terminating == 0 {
        put(status, condition(view, end, verdict));
        if verdict.outcome == Outcome::Success {
            // A clock that was set back must not put the end before the start.
            let started = status.start_time.as_ref().map_or(view.now, |started| started.0);
            status.completion_time = Some(Time(view.now.max(started)));
        }
    }
}

/// Whether the status to write is the first to say how the Job ends: that is final.
pub(crate) fn concludes(view: &View, status: &JobStatus) -> bool {
    let finals = ["SuccessCriteriaMet", "FailureTarget", "Complete", "Failed"];
    finals.iter().any(|kind| holds(status, kind).is_some() && view.condition(kind).is_none())
}

fn suspend(view: &View, status: &mut JobStatus) {
    if view.is_suspended() && view.condition("Suspended").is_none() {
        let suspended = Verdict::success("JobSuspended", "Job suspended");
        put(status, condition(view, "Suspended", &suspended));
    } else if view.is_resuming() {
        let resumed = Verdict::success("JobResumed", "Job resumed");
        put(status, JobCondition { status: "False".into(), ..condition(view, "Suspended", &resumed) });
    }
}

fn condition(view: &View, kind: &str, verdict: &Verdict) -> JobCondition {
    JobCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(verdict.reason.clone()),
        message: Some(verdict.message.clone()),
        last_probe_time: Some(Time(view.now)),
        last_transition_time: Some(Time(view.now)),
    }
}

/// Puts a condition in the place of the one of its kind, or behind the others.
fn put(status: &mut JobStatus, condition: JobCondition) {
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|other| other.type_ == condition.type_) {
        Some(other) => *other = condition,
        None => conditions.push(condition),
    }
}

fn more(before: Option<i32>, count: usize) -> Option<i32> {
    Some(before.unwrap_or(0).saturating_add(size(count))).filter(|sum| *sum != 0)
}

fn uid(pod: &Pod) -> Option<&str> {
    pod.metadata.uid.as_deref()
}

fn size(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Zero is left out, as the published type does.
fn some(count: usize) -> Option<i32> {
    (count != 0).then(|| size(count))
}
