//! What keeps so many pods of one template: the engine of ReplicaSets and ReplicationControllers.
//!
//! It looks at the pods a set controls, adopts matching orphans, lets go of pods that no longer match, creates what is missing
//! and deletes what is too much, and tells in the status how many there are.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
#[cfg(feature = "conformance")]
pub mod mutants;
mod plan;
mod status;

use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::selector::Selector;
use sampan_core::operator::{Context, Declaration, EventKind, Guarding, Kind, Mapping, WriteVerb};

use self::machine::Intent;
pub use self::machine::{ReplicasMachine, chart};
use self::plan::{Subject, View};
use crate::{adopted, controls, create_pod, pod_from_template, released};

/// An operator whose objects keep so many pods of one template. Their status is told as that of a ReplicaSet, which knows most.
pub trait Replicator {
    /// The kind of its objects.
    type Set: Kind;
    /// Whether its status tells how many of its pods are going.
    const TELLS_TERMINATING: bool;

    /// Which pods are the set's own; nothing where that cannot be told.
    fn selector(set: &Self::Set) -> Option<Selector>;

    /// What its pods are made from.
    fn template(set: &Self::Set) -> Option<&PodTemplateSpec>;

    /// How many are wanted, where it says so.
    fn replicas(set: &Self::Set) -> Option<i32>;

    /// For how long a pod must have been ready before it counts as available, where it says so.
    fn min_ready_seconds(set: &Self::Set) -> Option<i32>;

    /// The set's status.
    fn status(set: &Self::Set) -> Option<ReplicaSetStatus>;

    /// The set with another status.
    fn with_status(set: &Self::Set, status: ReplicaSetStatus) -> Self::Set;
}

/// What such an operator reads and writes.
pub fn declaration<R: Replicator>(name: &'static str) -> Declaration {
    let mut declaration = Declaration::of::<R::Set>(name)
        .watching::<Pod>(Mapping::Owner)
        .watching::<Pod>(Mapping::SelectedBy("/spec/selector"))
        .writing::<Pod>(WriteVerb::Create)
        .writing::<Pod>(WriteVerb::Update)
        .writing::<Pod>(WriteVerb::Delete)
        .writing::<R::Set>(WriteVerb::UpdateStatus);
    declaration.guarding = Guarding::Membership {
        because: "how many pods are created or deleted follows from which there are; a pod that turns ready or fails in \
                  that moment could as well have done so after, and what is adopted or let go names its revision",
    };
    declaration
}

/// One step of such an operator.
pub fn step<R: Replicator>(machine: &mut ReplicasMachine, cx: &mut Context<'_>) {
    let Some(set) = cx.primary::<R::Set>() else { return };
    let Some(view) = look::<R>(&set, cx) else { return };
    let (view, intents) = cx.observe(machine, view);
    view.wait(cx.trace());
    if let Some(delay) = view.next_available().map(|at| at.duration_since(view.now)) {
        cx.wake_after(Duration::try_from(delay).unwrap_or_default());
    }
    for intent in intents {
        carry_out::<R>(intent, &set, &view, cx);
    }
}

fn look<R: Replicator>(set: &R::Set, cx: &mut Context<'_>) -> Option<View> {
    let selector = R::selector(set)?;
    let namespace = set.meta().namespace.clone().unwrap_or_default();
    let owned = cx.owned::<Pod>().into_iter().filter(|pod| controls(set, &**pod)).collect();
    let orphans = cx.orphans::<Pod>(&namespace, &selector);
    let refusal = cx.refusal().cloned();
    Some(View::new(cx.now(), Subject::of::<R>(set), &selector, owned, orphans, refusal.as_ref()))
}

fn carry_out<R: Replicator>(intent: Intent, set: &R::Set, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Create(count) => {
            let template = R::template(set).cloned().unwrap_or_default();
            (0..count).for_each(|_| create_pod(pod_from_template(set, &template), cx));
        }
        Intent::Delete(pod) => {
            cx.delete(&*pod, DeleteOptions::default());
            let message = format!("Deleted pod: {}", name(&pod));
            cx.event(EventKind::Normal, "SuccessfulDelete", message);
        }
        Intent::Adopt(pod) => cx.update(&adopted(&*pod, set)),
        Intent::Release(pod) => cx.update(&released(&*pod, set)),
        Intent::ReportRefusal(message) => {
            cx.event(EventKind::Warning, status::FAILED_CREATE, format!("Error creating: {message}"));
        }
        Intent::WriteStatus => cx.update_status(&R::with_status(set, status::status(view))),
    }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}
