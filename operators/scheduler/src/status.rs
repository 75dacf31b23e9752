//! What a pod without a node says of itself.

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_core::Timestamp;
use sampan_core::resource::pod::{DISRUPTION_TARGET, with_condition};

const SCHEDULED: &str = "PodScheduled";
const REASON: &str = "Unschedulable";
const BY_SCHEDULER: &str = "PreemptionByScheduler";

/// Whether the pod says that it cannot be placed, and for this reason.
pub(crate) fn says(pod: &Pod, message: &str) -> bool {
    let condition = condition(pod);
    condition.is_some_and(|it| it.reason.as_deref() == Some(REASON) && it.message.as_deref() == Some(message))
}

/// The pod, promised room on this node, or on none.
pub(crate) fn nominated(mut pod: Pod, node: Option<&str>) -> Pod {
    pod.status.get_or_insert_default().nominated_node_name = node.map(str::to_owned);
    pod
}

/// Whether the pod gives way to another.
pub(crate) fn is_preempted(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .any(|it| it.type_ == DISRUPTION_TARGET && it.status == "True" && it.reason.as_deref() == Some(BY_SCHEDULER))
}

/// The pod, which gives way to another.
pub(crate) fn preempted(pod: &Pod, now: Timestamp) -> Pod {
    let said = PodCondition {
        type_: DISRUPTION_TARGET.to_owned(),
        status: "True".to_owned(),
        reason: Some(BY_SCHEDULER.to_owned()),
        message: Some(format!("{}: preempting to accommodate a higher priority pod", crate::NAME)),
        last_transition_time: Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    };
    with_condition(pod, said)
}

/// The pod, saying why it cannot be placed.
pub(crate) fn unschedulable(pod: &Pod, message: &str, now: Timestamp) -> Pod {
    let since = condition(pod).filter(|it| it.status == "False").and_then(|it| it.last_transition_time.clone());
    let whole_seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let said = PodCondition {
        type_: SCHEDULED.to_owned(),
        status: "False".to_owned(),
        reason: Some(REASON.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(since.unwrap_or(Time(whole_seconds))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    };
    with_condition(pod, said)
}

fn condition(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == SCHEDULED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_reason_keeps_the_time_of_the_transition() {
        let first = unschedulable(&Pod::default(), "no room", Timestamp::from_second(10).unwrap());
        assert!(says(&first, "no room"));
        let second = unschedulable(&first, "still no room", Timestamp::from_second(20).unwrap());
        assert!(says(&second, "still no room") && !says(&second, "no room"));
        let since = |pod: &Pod| condition(pod).unwrap().last_transition_time.clone();
        assert_eq!(since(&first), since(&second));
    }
}
