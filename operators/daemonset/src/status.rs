//! The status a DaemonSet should have, computed from its nodes and pods.

use k8s_openapi::api::apps::v1::{DaemonSetCondition, DaemonSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_podset::{is_ready, is_same_refusal, revision_of_pod};

use crate::plan::{Refusal, Site, View};
use crate::pod::Fit;

/// Whether pods could not be created. Kubernetes tells it by Events alone, which are gone when one looks.
const REPLICA_FAILURE: &str = "ReplicaFailure";
/// Why: the creation was refused.
pub(crate) const FAILED_CREATE: &str = "FailedCreate";

/// The status to write.
pub(crate) fn status(view: &View) -> DaemonSetStatus {
    let wanted = || view.sites.values().filter(|site| site.fit == Fit::Wanted);
    let scheduled = |counts: &dyn Fn(&Pod) -> bool| -> i32 {
        // Of several pods on a node, the first speaks for it.
        count(wanted().filter_map(Site::first).filter(|pod| counts(pod)).count())
    };
    let desired = count(view.desired());
    let available = scheduled(&|pod| view.is_available(pod));
    let misscheduled = view.sites.values().filter(|site| site.fit != Fit::Wanted && !site.pods.is_empty()).count();
    let before = view.set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
    DaemonSetStatus {
        desired_number_scheduled: desired,
        current_number_scheduled: scheduled(&|_| true),
        number_misscheduled: count(misscheduled),
        number_ready: scheduled(&is_ready),
        updated_number_scheduled: some(scheduled(&|pod| revision_of_pod(pod) == Some(view.update.hash()))),
        number_available: some(available),
        number_unavailable: some(desired - available),
        observed_generation: view.set.metadata.generation,
        collision_count: some(before + i32::from(view.collides)),
        conditions: conditions(view),
    }
}

/// Whether the status tells of the refusal met, in its words.
pub(crate) fn tells_of(view: &View, refusal: &Refusal) -> bool {
    let conditions = view.set.status.as_ref().and_then(|status| status.conditions.as_ref());
    let known = conditions.into_iter().flatten().find(|condition| condition.type_ == REPLICA_FAILURE);
    known.and_then(|known| known.message.as_deref()).is_some_and(|known| is_same_refusal(known, &refusal.message))
}

/// A failure stays until every node has its pod: a try that is under way has not mended it yet.
fn conditions(view: &View) -> Option<Vec<DaemonSetCondition>> {
    let mut conditions = view.set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    if let Some(refusal) = &view.refusal {
        if !tells_of(view, refusal) {
            conditions.retain(|condition| condition.type_ != REPLICA_FAILURE);
            conditions.push(DaemonSetCondition {
                type_: REPLICA_FAILURE.into(),
                status: "True".into(),
                reason: Some(FAILED_CREATE.into()),
                message: Some(refusal.message.clone()),
                last_transition_time: Some(Time(view.now)),
            });
        }
    } else if !view.lacks_pods() {
        conditions.retain(|condition| condition.type_ != REPLICA_FAILURE);
    }
    (!conditions.is_empty()).then_some(conditions)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Zero is left out, as the published type does.
fn some(number: i32) -> Option<i32> {
    (number != 0).then_some(number)
}
