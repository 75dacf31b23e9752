//! The status a set should have, computed from its pods.

use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::View;
use crate::{is_ready, is_same_refusal};

/// Whether pods could not be created.
const REPLICA_FAILURE: &str = "ReplicaFailure";
/// Why: the creation was refused.
pub(crate) const FAILED_CREATE: &str = "FailedCreate";

/// The status to write.
pub(crate) fn status(view: &View) -> ReplicaSetStatus {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    ReplicaSetStatus {
        replicas: count(view.active.len()),
        fully_labeled_replicas: some(view.active.iter().filter(|pod| is_fully_labeled(view, pod)).count()),
        ready_replicas: some(view.active.iter().filter(|pod| is_ready(pod)).count()),
        available_replicas: some(view.available()),
        terminating_replicas: view.set.tells_terminating.then(|| count(view.terminating)),
        observed_generation: view.set.generation,
        conditions: conditions(view),
    }
}

/// Whether the status says what is.
pub(crate) fn is_current(view: &View) -> bool {
    view.set.status.as_ref() == Some(&status(view))
}

/// Zero is left out, as the published type does.
fn some(number: usize) -> Option<i32> {
    (number != 0).then(|| i32::try_from(number).unwrap_or(i32::MAX))
}

/// Whether a pod carries all labels of the template, as it was made now.
fn is_fully_labeled(view: &View, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    view.set.labels.iter().all(|(label, value)| labels.and_then(|labels| labels.get(label)) == Some(value))
}

/// Whether the status tells of the refusal met, in its words.
pub(crate) fn tells_of_failure(view: &View) -> bool {
    let conditions = view.set.status.as_ref().and_then(|status| status.conditions.as_ref());
    let known = conditions.into_iter().flatten().find(|condition| condition.type_ == REPLICA_FAILURE);
    match (known.and_then(|known| known.message.as_deref()), &view.refusal) {
        (Some(known), Some(refusal)) => is_same_refusal(known, &refusal.message),
        (known, refusal) => known.is_none() && refusal.is_none(),
    }
}

/// A failure stays until as many pods exist as are wanted: a try that is under way has not mended it yet.
fn conditions(view: &View) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = view.set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    if let Some(refusal) = &view.refusal {
        if !tells_of_failure(view) {
            conditions.retain(|condition| condition.type_ != REPLICA_FAILURE);
            conditions.push(failure(view, &refusal.message));
        }
    } else if view.missing() == 0 {
        conditions.retain(|condition| condition.type_ != REPLICA_FAILURE);
    }
    (!conditions.is_empty()).then_some(conditions)
}

fn failure(view: &View, message: &str) -> ReplicaSetCondition {
    ReplicaSetCondition {
        type_: REPLICA_FAILURE.into(),
        status: "True".into(),
        reason: Some(FAILED_CREATE.into()),
        message: Some(message.into()),
        last_transition_time: Some(Time(view.now)),
    }
}
