//! The status a StatefulSet should have, computed from its pods.

use k8s_openapi::api::apps::v1::{StatefulSetCondition, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_podset::{is_ready, revision_of_pod};

use crate::plan::{Refusal, View};

/// Whether pods or claims could not be created. Kubernetes tells it by Events alone, which are gone when one looks.
const REPLICA_FAILURE: &str = "ReplicaFailure";
/// Why: the creation was refused.
pub(crate) const FAILED_CREATE: &str = "FailedCreate";

/// The status to write.
pub(crate) fn status(view: &View) -> StatefulSetStatus {
    let count = |counts: &dyn Fn(&Pod) -> bool| -> i32 {
        i32::try_from(view.pods.values().filter(|pod| counts(pod)).count()).unwrap_or(i32::MAX)
    };
    let lives = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
    let of = |pod: &Pod, revision: &str| lives(pod) && revision_of_pod(pod) == Some(revision);
    let (replicas, ready) = (count(&|_| true), count(&is_ready));
    let updated = count(&|pod| of(pod, &view.update.name));
    let is_complete = view.rolls() && [replicas, ready, updated].iter().all(|number| *number == view.desired());
    let current = if is_complete { &view.update.name } else { &view.current.name };
    let before = view.set.status.as_ref();
    let collisions = before.and_then(|status| status.collision_count).unwrap_or(0) + i32::from(view.collides);
    StatefulSetStatus {
        replicas,
        ready_replicas: some(ready),
        available_replicas: Some(count(&|pod| view.is_available(pod))),
        current_replicas: some(count(&|pod| of(pod, current))),
        updated_replicas: some(updated),
        current_revision: Some(current.clone()),
        update_revision: Some(view.update.name.clone()),
        collision_count: Some(collisions),
        observed_generation: view.set.metadata.generation,
        conditions: conditions(view),
    }
}

/// The status while the set is being deleted: what is there is counted, no rollout is told of.
pub(crate) fn last_status(view: &View) -> StatefulSetStatus {
    let before = view.set.status.clone().unwrap_or_default();
    let now = status(view);
    StatefulSetStatus {
        current_revision: before.current_revision,
        update_revision: before.update_revision,
        collision_count: before.collision_count,
        ..now
    }
}

/// Whether the status tells of the refusal met.
pub(crate) fn tells_of(view: &View, refusal: &Refusal) -> bool {
    let conditions = view.set.status.as_ref().and_then(|status| status.conditions.as_ref());
    let known = conditions.into_iter().flatten().find(|condition| condition.type_ == REPLICA_FAILURE);
    known.and_then(|known| known.message.as_ref()) == Some(&refusal.message)
}

/// A failure stays until as many pods exist as are wanted: a try that is under way has not mended it yet.
fn conditions(view: &View) -> Option<Vec<StatefulSetCondition>> {
    let mut conditions = view.set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    if let Some(refusal) = &view.refusal {
        if !tells_of(view, refusal) {
            conditions.retain(|condition| condition.type_ != REPLICA_FAILURE);
            conditions.push(StatefulSetCondition {
                type_: REPLICA_FAILURE.into(),
                status: "True".into(),
                reason: Some(FAILED_CREATE.into()),
                message: Some(refusal.message.clone()),
                last_transition_time: Some(Time(view.now)),
            });
        }
    } else if view.missing() == 0 {
        conditions.retain(|condition| condition.type_ != REPLICA_FAILURE);
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// Zero is left out, as the published type does.
fn some(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}
