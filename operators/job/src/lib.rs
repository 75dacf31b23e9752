//! Jobs: pods that run until enough of them have succeeded.
//!
//! As many pods run as the Job says, until as many have succeeded. A pod that fails is replaced after a while, and when too
//! many have failed the Job has. With indexes each has its own pod, which knows it. A pod is held by a finalizer until its
//! end is counted.
//!
//! In one thing this operator differs from Kubernetes': a pod that somebody deletes is replaced at once. The wait is for
//! programs that fail.

mod backoff;
#[cfg(feature = "conformance")]
pub mod conformance;
mod indexes;
mod machine;
mod plan;
mod pod;
mod policy;
mod status;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use sampan_core::gateway::{DeleteOptions, Propagation};
use sampan_core::object::selector::{Operator as LabelOperator, Requirement, Selector};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, WriteVerb};
use sampan_core::store::{ReadKey, Snapshot};
use sampan_machine::Chart;
use sampan_podset::{CreationRefusal, adopted, create_pod, owner_and_members, released};

pub use machine::JobMachine;

use crate::machine::Intent;
use crate::plan::{Reading, View};

/// The label of a pod with the name of its Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The most pods of Jobs that are gone let go of in one commit, beside the work for the Job there is.
const ABANDONED_PER_STEP_MAX: usize = 40;

/// The Job operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobOperator;

impl Operator for JobOperator {
    type Machine = JobMachine;

    fn chart(&self) -> &'static Chart {
        JobMachine::chart()
    }

    fn machine(&self) -> JobMachine {
        JobMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<Job>("job")
            .watching::<Pod>(Mapping::Owner)
            .watching::<Pod>(Mapping::SelectedBy("/spec/selector"))
            .watching_from_start::<Pod>(Mapping::function(tracking_job))
            .writing::<Pod>(WriteVerb::Create)
            .writing::<Pod>(WriteVerb::Update)
            .writing::<Pod>(WriteVerb::Delete)
            .writing::<Job>(WriteVerb::UpdateStatus)
            .writing::<Job>(WriteVerb::Delete);
        declaration.guarding = Guarding::Decisive {
            because: "what a Job does rests on itself and on all its pods; what it lets go of for Jobs that are gone rests on \
                      each of those pods alone",
        };
        declaration
    }

    fn step(&self, machine: &mut JobMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let job = cx.primary::<Job>();
        let_go_of_the_abandoned(job.as_deref(), cx);
        let Some(view) = job.and_then(|job| look(job, cx)) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        if let Some(delay) = view.next_look().map(|at| at.duration_since(view.now)) {
            cx.wake_after(Duration::try_from(delay).unwrap_or_default());
        }
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

/// The Job a pod is held for, whether it is there or not.
fn tracking_job(pod: &Object, _: &Snapshot) -> Vec<ObjectKey> {
    held_for(pod).into_iter().collect()
}

fn held_for(pod: &Object) -> Option<ObjectKey> {
    let metadata = pod.metadata();
    if !metadata.finalizers.iter().any(|finalizer| **finalizer == *pod::TRACKING) {
        return None;
    }
    let name = match metadata.controller() {
        Some(owner) if *owner.kind == *Job::KIND && *owner.api_version == *Job::API_VERSION => &owner.name,
        Some(_) => return None,
        None => metadata.labels.get(JOB_NAME)?,
    };
    Some(ObjectKey::namespaced(Job::RESOURCE, pod.key().namespace.as_deref().unwrap_or_default(), name))
}

/// Pods of a Job of this name that is gone: nobody will count their end, and they may go.
fn let_go_of_the_abandoned(job: Option<&Job>, cx: &mut Context<'_>) {
    let key = cx.key().clone();
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let found = match job {
        // What another Job of this name left is found by its label, unless its users make the labels.
        Some(job) if !is_labelled_by_hand(job) => cx.matching_objects(Pod::RESOURCE, namespace, &named(&key.name)),
        _ => cx.objects(Pod::RESOURCE, Some(namespace)),
    };
    let uid = job.and_then(|job| job.metadata.uid.as_deref());
    let is_abandoned = |pod: &Object| {
        let owner = pod.metadata().controller().map(|owner| &*owner.uid.0);
        held_for(pod).is_some_and(|held| held == key)
            && if uid.is_some() { owner.is_some() && owner != uid } else { true }
    };
    let abandoned: Vec<ObjectKey> = found
        .iter()
        .filter(|pod| is_abandoned(pod))
        .take(ABANDONED_PER_STEP_MAX)
        .map(|pod| pod.key().clone())
        .collect();
    cx.rests_on(ReadKey::Object(key));
    for pod in abandoned {
        if let Some(pod) = cx.get::<Pod>(&pod) {
            cx.update(&pod::untracked(&pod));
        }
    }
}

fn is_labelled_by_hand(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.manual_selector) == Some(true)
}

/// Selects the pods of Jobs of a name.
fn named(name: &str) -> Selector {
    let requirement = Requirement { label: JOB_NAME.into(), operator: LabelOperator::In(vec![name.into()]) };
    Selector { requirements: vec![requirement] }
}

fn look(job: Arc<Job>, cx: &mut Context<'_>) -> Option<View> {
    let selector = job.spec.as_ref()?.selector.as_ref()?;
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    for read in owner_and_members(cx.key(), uid, selector, Pod::RESOURCE) {
        cx.rests_on(read);
    }
    let selector = Selector::try_from(selector).ok()?;
    let namespace = job.metadata.namespace.clone().unwrap_or_default();
    let refusal = cx.refusal().and_then(CreationRefusal::of);
    let (owned, matching) = (cx.owned::<Pod>(), cx.matching::<Pod>(&namespace, &selector));
    Some(View::new(Reading { now: cx.now(), job, owned, matching, refusal }))
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Adopt(pod) => {
            let mut pod = adopted(&*pod, &*view.job);
            pod::track(&mut pod);
            cx.update(&pod);
        }
        Intent::Disown(pod) => cx.update(&released(&pod::untracked(&pod), &*view.job)),
        Intent::Release(pod) => cx.update(&pod::untracked(&pod)),
        Intent::Dismiss(pod) => cx.update(&pod::dismissed(&pod)),
        Intent::Create(place) => create_pod(pod::pod(&view.job, place), cx),
        Intent::Delete(pod) => {
            cx.delete(&*pod, DeleteOptions::default());
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            cx.event(EventKind::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
        }
        Intent::Expire => {
            let propagation = Some(Propagation::Foreground);
            cx.delete(&*view.job, DeleteOptions { propagation, ..DeleteOptions::default() });
        }
        Intent::ReportRefusal(message) => {
            cx.event(EventKind::Warning, "FailedCreate", format!("Error creating: {message}"));
        }
        Intent::Announce(news) => cx.event(news.kind, news.reason, news.message),
        Intent::WriteStatus(status) => {
            if status::concludes(view, &status) {
                // No later step takes it back, so it rests on every pod as this one saw it.
                cx.guard_status();
            }
            let mut job = Job::clone(&view.job);
            job.status = Some(*status);
            cx.update_status(&job);
        }
    }
}
