//! What is said of a pod that goes although it did not end, and of one that stays after all.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use sampan_core::resource::pod::{DISRUPTION_TARGET, with_condition};

use crate::plan::{BY_COLLECTION, BY_TAINT, Cause};

/// The pod, which a taint of its node drives away.
pub(crate) fn driven_away(pod: &Pod, now: Timestamp) -> Pod {
    disrupted(pod, BY_TAINT, "Taint manager: deleting due to NoExecute taint", now)
}

/// The pod, which has failed: nobody is there who could say how it ended.
pub(crate) fn failed(pod: &Pod, cause: Cause, now: Timestamp) -> Pod {
    let mut failed = match cause {
        Cause::NodeGone => disrupted(pod, BY_COLLECTION, "PodGC: node no longer exists", now),
        Cause::OutOfService | Cause::Unplaced => pod.clone(),
    };
    failed.status.get_or_insert_default().phase = Some("Failed".to_owned());
    failed
}

/// The pod, which is not about to go after all.
pub(crate) fn not_disrupted(pod: &Pod, now: Timestamp) -> Pod {
    let said = PodCondition {
        type_: DISRUPTION_TARGET.to_owned(),
        status: "False".to_owned(),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    with_condition(pod, said)
}

fn disrupted(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Pod {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let before = conditions.find(|condition| condition.type_ == DISRUPTION_TARGET && condition.status == "True");
    let since = before.and_then(|condition| condition.last_transition_time.clone());
    let said = PodCondition {
        type_: DISRUPTION_TARGET.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(since.unwrap_or(Time(now))),
        ..PodCondition::default()
    };
    with_condition(pod, said)
}
