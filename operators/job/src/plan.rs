//! A Job and its pods as the machine sees them, and what is to be done about them. Pure.
//!
//! A pod holds a finalizer until its end is counted, and the finalizer goes in the very commit that counts: no end is
//! counted twice or lost, whatever crashes when. Kubernetes, which cannot write two objects at once, lists the pod in the
//! status in between; where such a list is found it is honoured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use sampan_podset::{Candidate, CreationRefusal, controls, deletion_order, is_active, is_controlled, is_ready};

use crate::backoff;
use crate::pod::{self, Failures, Place};
use crate::tally::{Outcome, Tally, Verdict};

/// The most pods of one kind of work in one commit: made, deleted, let go. Each may come with an Event.
const PODS_PER_STEP_MAX: usize = 150;
/// Who manages Jobs that do not say so.
const OWN_NAME: &str = "kubernetes.io/job-controller";

/// What is read of the store for one look.
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) job: Arc<Job>,
    /// The pods that name the Job as owner.
    pub(crate) owned: Vec<Arc<Pod>>,
    /// The pods its selector matches.
    pub(crate) matching: Vec<Arc<Pod>>,
    pub(crate) refusal: Option<CreationRefusal>,
}

/// One look at a Job.
pub struct View {
    pub(crate) now: Timestamp,
    pub(crate) job: Arc<Job>,
    /// The pods of the Job.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// Matching pods that nobody controls.
    pub(crate) orphans: Vec<Arc<Pod>>,
    /// Controlled pods that no longer match.
    pub(crate) strays: Vec<Arc<Pod>>,
    pub(crate) refusal: Option<CreationRefusal>,
    /// What is to be done.
    pub(crate) work: Work,
}

/// What is to be done about pods, how many there are then, and what is waited for.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) tally: Tally,
    pub(crate) verdict: Option<Verdict>,
    /// Pods that may go: their end is counted, or does not count.
    pub(crate) release: Vec<Arc<Pod>>,
    /// Pods that run and should not: they are marked, so that being stopped is no failure, and deleted after.
    pub(crate) dismiss: Vec<Arc<Pod>>,
    /// Pods to be deleted.
    pub(crate) delete: Vec<Arc<Pod>>,
    /// Pods to be made, of an index where the Job has them.
    pub(crate) create: Vec<Option<Place>>,
    /// How many pods could be made now, were none refused.
    pub(crate) missing: usize,
    /// Pods that run, are ready and are on their way out, after this.
    pub(crate) active: usize,
    pub(crate) ready: usize,
    pub(crate) terminating: usize,
    /// Whether no end is left to be counted after this.
    pub(crate) is_counted: bool,
    /// When a pod that is missing may be made.
    pub(crate) retry_at: Option<Timestamp>,
    /// Pods that are missing and cannot be made before others are gone.
    pub(crate) blocked: usize,
}

impl View {
    /// Makes sense of what was read.
    pub(crate) fn new(reading: Reading) -> Self {
        let Reading { now, job, owned, matching, refusal } = reading;
        let matched: BTreeSet<&str> = matching.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        let matches = |pod: &Arc<Pod>| pod.metadata.uid.as_deref().is_some_and(|uid| matched.contains(uid));
        let (pods, strays): (Vec<_>, Vec<_>) =
            owned.into_iter().filter(|pod| controls(&*job, &**pod)).partition(matches);
        let orphans = matching.iter().filter(|pod| !is_controlled(&***pod)).cloned().collect();
        let mut view = Self { now, job, pods, orphans, strays, refusal, work: Work::default() };
        view.work = view.plan();
        view
    }

    pub(crate) fn spec(&self) -> Option<&JobSpec> {
        self.job.spec.as_ref()
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.job.metadata.deletion_timestamp.is_some()
    }

    /// Whether somebody else looks after the Job.
    pub(crate) fn is_foreign(&self) -> bool {
        self.spec().and_then(|spec| spec.managed_by.as_deref()).is_some_and(|manager| manager != OWN_NAME)
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.spec().and_then(|spec| spec.suspend) == Some(true)
    }

    /// Whether the status still says it is suspended, and it is not.
    pub(crate) fn is_resuming(&self) -> bool {
        !self.is_suspended() && self.condition("Suspended").is_some()
    }

    pub(crate) fn is_indexed(&self) -> bool {
        self.spec().and_then(|spec| spec.completion_mode.as_deref()) == Some("Indexed")
    }

    pub(crate) fn completions(&self) -> Option<i32> {
        self.spec()?.completions
    }

    pub(crate) fn limit_per_index(&self) -> Option<i32> {
        self.spec()?.backoff_limit_per_index
    }

    /// Whether a pod is replaced only once it has failed, and not when it is deleted.
    fn replaces_failed_only(&self) -> bool {
        self.spec().is_some_and(|spec| {
            spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
        })
    }

    /// A condition that holds.
    pub(crate) fn condition(&self, kind: &str) -> Option<&JobCondition> {
        let conditions = self.job.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
    }

    /// How the Job has ended, if it has.
    pub(crate) fn end(&self) -> Option<(Outcome, &JobCondition)> {
        let failed = || self.condition("Failed").map(|it| (Outcome::Failure, it));
        self.condition("Complete").map(|it| (Outcome::Success, it)).or_else(failed)
    }

    /// When a Job that has ended is to be deleted.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        let (_, ended) = self.end()?;
        let seconds = self.spec()?.ttl_seconds_after_finished?;
        ended.last_transition_time.as_ref()?.0.checked_add(SignedDuration::from_secs(seconds.into())).ok()
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expires_at().is_some_and(|at| at <= self.now)
    }

    /// Matching orphans that may be adopted.
    pub(crate) fn adoptable(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.orphans.iter().filter(|pod| !pod::is_terminating(pod))
    }

    /// Whether pods are to be adopted or let go.
    pub(crate) fn has_claims(&self) -> bool {
        self.adoptable().next().is_some() || !self.strays.is_empty()
    }

    /// When to look again though nothing changes.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        let is_open = self.end().is_none() && self.work.verdict.is_none();
        let deadline = self.deadline().filter(|_| is_open);
        [self.work.retry_at, deadline, self.expires_at()].into_iter().flatten().filter(|at| *at > self.now).min()
    }

    /// Whether the pod has failed; one on its way out has, unless it may still succeed or was stopped by the Job.
    pub(crate) fn is_failed(&self, pod: &Pod) -> bool {
        let is_leaving = pod::is_terminating(pod) && pod::phase(pod) != "Succeeded";
        let has_failed = pod::phase(pod) == "Failed" || (is_leaving && !self.replaces_failed_only());
        has_failed && !(pod::is_terminating(pod) && pod::is_dismissed(pod))
    }

    /// Whether the pod is for something that is to be done.
    pub(crate) fn has_place(&self, pod: &Pod) -> bool {
        let completions = self.completions().unwrap_or(0);
        !self.is_indexed() || pod::index_of(pod).is_some_and(|index| index < completions)
    }

    /// The pods that run and count.
    fn active(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| is_active(pod) && !pod::is_dismissed(pod))
    }

    /// The pods on their way out that have not ended.
    fn leaving(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| pod::is_terminating(pod) && !pod::has_ended(pod))
    }

    /// The pods that run and should not.
    fn dismissed(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| is_active(pod) && pod::is_dismissed(pod))
    }

    fn plan(&self) -> Work {
        if self.is_foreign() {
            return Work::default();
        }
        if self.is_terminating() || self.end().is_some() {
            return self.winding_up();
        }
        let tally = self.tally();
        let mut work = Work { verdict: self.verdict(&tally), tally, ..Work::default() };
        work.delete = self.dismissed().cloned().collect();
        let held = match work.verdict {
            Some(_) => {
                work.delete.extend(self.active().cloned());
                BTreeSet::new()
            }
            None => self.manage(&mut work),
        };
        work.release = self.released(work.verdict.is_some(), &held);
        for list in [&mut work.release, &mut work.delete] {
            list.truncate(PODS_PER_STEP_MAX);
        }
        self.count(&mut work);
        if work.verdict.is_none() && self.is_complete(&work) {
            let message = "Reached expected number of succeeded pods";
            work.verdict = Some(Verdict::success("CompletionsReached", message));
            work.release = self.released(true, &BTreeSet::new());
            work.release.truncate(PODS_PER_STEP_MAX);
            self.count(&mut work);
        }
        work
    }

    /// Where the Job has ended or is deleted, nothing of its pods is counted any more: all may go.
    fn winding_up(&self) -> Work {
        let tracked = self.pods.iter().chain(&self.strays).chain(&self.orphans).filter(|pod| pod::is_tracked(pod));
        let release = tracked.take(PODS_PER_STEP_MAX).cloned().collect();
        Work { tally: self.tally(), release, ..Work::default() }
    }

    /// The pods whose end is to be counted now.
    fn released(&self, is_over: bool, held: &BTreeSet<&str>) -> Vec<Arc<Pod>> {
        let is_held = |pod: &Pod| pod.metadata.uid.as_deref().is_some_and(|uid| held.contains(uid));
        let ends = |pod: &&Arc<Pod>| {
            let is_settled =
                pod::phase(pod) == "Succeeded" || pod::is_dismissed(pod) || (self.is_failed(pod) && !is_held(pod));
            pod::is_tracked(pod) && !is_active(pod) && (is_over || is_settled)
        };
        self.pods.iter().filter(ends).cloned().collect()
    }

    /// Makes pods where some are missing, or lets go of those that are too many. Gives the failed pods that are kept until
    /// their index has another, which is told of their failure.
    fn manage(&self, work: &mut Work) -> BTreeSet<&str> {
        let lasts = self.last_failures(&work.tally);
        let active = self.active().count();
        let wanted = self.running_wanted(&work.tally, active);
        work.dismiss = self.surplus(active.saturating_sub(wanted));
        if work.dismiss.is_empty() && !self.is_suspended() {
            let leaving =
                if self.replaces_failed_only() { self.leaving().count() + self.dismissed().count() } else { 0 };
            work.blocked = wanted.saturating_sub(active).min(leaving);
            let missing = wanted.saturating_sub(active + leaving).min(PODS_PER_STEP_MAX);
            self.fill(missing, &lasts, work);
        }
        work.dismiss.truncate(PODS_PER_STEP_MAX);
        lasts.values().filter_map(|pod| pod.metadata.uid.as_deref()).collect()
    }

    /// How many pods should run.
    fn running_wanted(&self, tally: &Tally, active: usize) -> usize {
        let parallelism = self.spec().and_then(|spec| spec.parallelism).unwrap_or(1);
        let wanted = match self.completions() {
            _ if self.is_suspended() => 0,
            Some(completions) => parallelism.min(completions - tally.succeeded),
            // The first success says that the work is done: those that run come to their end.
            None if tally.succeeded > 0 => return active,
            None => parallelism,
        };
        usize::try_from(wanted).unwrap_or(0)
    }

    /// Pods that are too many: of an index the others have, of none, and so many more.
    fn surplus(&self, least: usize) -> Vec<Arc<Pod>> {
        let candidate = |pod: &Arc<Pod>| Candidate { pod: pod.clone(), on_node: 1, is_available: is_ready(pod) };
        let mut ranked: Vec<Candidate> = self.active().map(candidate).collect();
        deletion_order(&mut ranked);
        let mut taken: BTreeSet<i32> = BTreeSet::new();
        let (mut surplus, mut others) = (Vec::new(), Vec::new());
        // Whoever would go last keeps the index.
        for Candidate { pod, .. } in ranked.into_iter().rev() {
            let is_first = self.has_place(&pod) && pod::index_of(&pod).is_none_or(|index| taken.insert(index));
            if !self.is_indexed() || is_first { others.push(pod) } else { surplus.push(pod) }
        }
        let more = least.saturating_sub(surplus.len());
        surplus.extend(others.into_iter().rev().take(more));
        surplus
    }

    fn fill(&self, missing: usize, lasts: &BTreeMap<i32, &Arc<Pod>>, work: &mut Work) {
        if missing == 0 {
            return;
        }
        let places = match self.completions().filter(|_| self.is_indexed()) {
            Some(completions) => self.places(missing, completions, lasts, work),
            None => vec![None; missing],
        };
        let common = if self.limit_per_index().is_none() { self.backoff().filter(|at| *at > self.now) } else { None };
        match common {
            Some(at) => work.retry_at = Some(at),
            None => work.create = places,
        }
        work.missing = work.create.len();
        work.create.truncate(self.refusal.as_ref().map_or(usize::MAX, |refusal| refusal.accepted));
    }

    /// When the next pod may be made, by the failures of all.
    fn backoff(&self) -> Option<Timestamp> {
        let ended = |phase: &'static str| {
            // A pod that is deleted has not failed by itself.
            let pods = self.pods.iter().filter(move |pod| pod::phase(pod) == phase);
            pods.filter(|pod| !pod::is_terminating(pod)).map(|pod| &**pod)
        };
        backoff::after(ended("Failed"), ended("Succeeded"))
    }

    /// The next indexes without a pod; those that failed a moment ago wait.
    fn places(
        &self,
        missing: usize,
        completions: i32,
        lasts: &BTreeMap<i32, &Arc<Pod>>,
        work: &mut Work,
    ) -> Vec<Option<Place>> {
        let leaving = self.leaving().filter(|_| self.replaces_failed_only());
        let busy = self.active().chain(leaving).filter_map(|pod| pod::index_of(pod));
        let mut busy = work.tally.completed.with(busy);
        if let Some(failed) = &work.tally.failed_indexes {
            busy = busy.union(failed);
        }
        let mut places = Vec::new();
        for index in busy.first_missing(missing, completions) {
            let last = lasts.get(&index);
            let failures =
                self.limit_per_index().map(|_| last.map_or_else(Failures::default, |pod| self.failures(pod)));
            let until = last.map(|pod| self.until(pod)).filter(|at| *at > self.now);
            match until {
                Some(at) => work.retry_at = Some(work.retry_at.map_or(at, |earlier| earlier.min(at))),
                None => places.push(Some(Place { index, failures })),
            }
        }
        places
    }

    fn until(&self, failed: &Pod) -> Timestamp {
        let failures = u32::try_from(Failures::before(failed).all()).unwrap_or(0).saturating_add(1);
        backoff::until(failures, backoff::finished_at(failed))
    }

    /// The failures of an index, this one's included.
    fn failures(&self, failed: &Pod) -> Failures {
        let mut failures = Failures::before(failed);
        match self.is_ignored(failed) {
            true => failures.ignored = failures.ignored.saturating_add(1),
            false => failures.counted = failures.counted.saturating_add(1),
        }
        failures
    }

    /// Where each index has its own limit: of each that is to be tried again, the pod that failed last.
    fn last_failures(&self, tally: &Tally) -> BTreeMap<i32, &Arc<Pod>> {
        let Some(given_up) = &tally.failed_indexes else { return BTreeMap::new() };
        let busy: BTreeSet<i32> = self.active().filter_map(|pod| pod::index_of(pod)).collect();
        let failed = self.pods.iter().filter(|pod| pod::is_tracked(pod) && self.has_place(pod) && self.is_failed(pod));
        let mut lasts: BTreeMap<i32, &Arc<Pod>> = BTreeMap::new();
        for pod in failed {
            let Some(index) = pod::index_of(pod) else { continue };
            if tally.completed.contains(index) || given_up.contains(index) || busy.contains(&index) {
                continue;
            }
            let rank = |pod: &Pod| (Failures::before(pod).all(), backoff::finished_at(pod), pod.metadata.name.clone());
            let last = lasts.entry(index).or_insert(pod);
            if rank(last) < rank(pod) {
                *last = pod;
            }
        }
        lasts
    }

    /// How many pods there are of each sort once the work is done.
    fn count(&self, work: &mut Work) {
        let going: BTreeSet<&str> =
            work.delete.iter().chain(&work.dismiss).filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        let is_going = |pod: &Pod| pod.metadata.uid.as_deref().is_some_and(|uid| going.contains(uid));
        let staying = || self.active().filter(|pod| !is_going(pod));
        work.active = staying().count() + work.create.len();
        work.ready = staying().filter(|pod| is_ready(pod)).count();
        work.terminating =
            self.leaving().count() + self.dismissed().count() + self.active().filter(|pod| is_going(pod)).count();
        work.is_counted = self.pods.iter().filter(|pod| pod::is_tracked(pod)).count() == work.release.len();
    }

    fn is_complete(&self, work: &Work) -> bool {
        let is_enough = match self.completions() {
            Some(completions) => work.tally.succeeded >= completions,
            None => work.tally.succeeded > 0,
        };
        is_enough && work.active == 0
    }
}
