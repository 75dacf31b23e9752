//! What state a pod is in, for those who count pods.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

/// Whether the pod counts towards the replicas: neither finished nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed")) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether the pod's readiness says it may serve.
pub fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some_and(|ready| ready.status == "True")
}

/// Since when the pod has been ready; `None` where it is not.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = ready_condition(pod).filter(|ready| ready.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// When a ready pod is, or will be, available: after `min_ready_seconds` without interruption, at once where there are none,
/// whatever the clock says. `None` where it is not ready.
pub fn available_at(pod: &Pod, min_ready_seconds: i32) -> Option<Timestamp> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready_seconds <= 0 {
        return Some(Timestamp::MIN);
    }
    ready_since(pod)?.checked_add(SignedDuration::from_secs(i64::from(min_ready_seconds))).ok()
}

/// Whether the pod is available now.
pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    available_at(pod, min_ready_seconds).is_some_and(|at| at <= now)
}

/// Whether the pod has been ready since its containers were last started: its readiness has changed since. It may be ready again.
pub fn has_been_ready(pod: &Pod) -> bool {
    let changed = ready_condition(pod).and_then(|ready| ready.last_transition_time.as_ref());
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let started = |container: &ContainerStatus| container.state.as_ref()?.running.as_ref()?.started_at.clone();
    !containers.is_empty()
        && containers.iter().all(|it| started(it).is_some_and(|at| changed.is_some_and(|changed| changed.0 > at.0)))
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_openapi::api::core::v1::PodStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    pub(crate) fn ready_pod(since_second: i64) -> Pod {
        let ready = PodCondition {
            type_: "Ready".into(),
            status: "True".into(),
            last_transition_time: Some(Time(Timestamp::from_second(since_second).unwrap())),
            ..PodCondition::default()
        };
        let status = PodStatus { conditions: Some(vec![ready]), ..PodStatus::default() };
        Pod { status: Some(status), ..Pod::default() }
    }

    #[test]
    fn a_pod_is_available_after_it_was_ready_for_long_enough() {
        let check = |min_ready: i32, now: i64, expect: bool| {
            let now = Timestamp::from_second(now).unwrap();
            assert_eq!(is_available(&ready_pod(100), min_ready, now), expect, "{min_ready} s at {now}");
        };
        check(0, 100, true);
        check(0, 40, true);
        check(10, 109, false);
        check(10, 110, true);
        assert!(!is_available(&Pod::default(), 0, Timestamp::MAX));
    }

    #[test]
    fn a_pod_has_been_ready_if_its_readiness_changed_after_its_containers_were_started() {
        let check = |state: serde_json::Value, expect: bool| {
            let mut pod = ready_pod(100);
            let status = pod.status.as_mut().unwrap();
            status.conditions.as_mut().unwrap()[0].status = "False".into();
            let containers = json!([{"name": "a", "state": {"running": {"startedAt": "1970-01-01T00:01:00Z"}}},
                {"name": "b", "state": state}]);
            status.container_statuses = Some(serde_json::from_value(containers).unwrap());
            assert_eq!(has_been_ready(&pod), expect, "{state}");
        };
        check(json!({"running": {"startedAt": "1970-01-01T00:01:39Z"}}), true);
        check(json!({"running": {"startedAt": "1970-01-01T00:01:40Z"}}), false);
        check(json!({"waiting": {"reason": "CrashLoopBackOff"}}), false);
        assert!(!has_been_ready(&ready_pod(100)));
    }

    #[test]
    fn a_finished_or_leaving_pod_is_not_active() {
        let mut pod = Pod::default();
        assert!(is_active(&pod));
        pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(!is_active(&pod));
        let status = PodStatus { phase: Some("Failed".into()), ..PodStatus::default() };
        assert!(!is_active(&Pod { status: Some(status), ..Pod::default() }));
    }
}
