//! How long a Job waits after failures before it makes the next pod.
//!
//! Kubernetes keeps the number of failures in memory and forgets it with its process. Here it follows from the pods, which
//! stay for their logs: those that failed after the last one that succeeded.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

/// The wait after the first failure, and the longest.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// When the next pod may be made after so many failures, the last of them then.
pub(crate) fn until(failures: u32, last: Timestamp) -> Timestamp {
    // Six doublings are past the longest wait.
    let doubled = FIRST * 2_i32.pow(failures.saturating_sub(1).min(6));
    last.checked_add(doubled.min(LONGEST)).unwrap_or(Timestamp::MAX)
}

/// When the next pod may be made, by those that have ended; `None` where there was no failure after the last success.
pub(crate) fn after<'p>(
    failed: impl Iterator<Item = &'p Pod>,
    succeeded: impl Iterator<Item = &'p Pod>,
) -> Option<Timestamp> {
    let success = succeeded.map(finished_at).max();
    let failures: Vec<Timestamp> =
        failed.map(finished_at).filter(|at| success.is_none_or(|success| *at > success)).collect();
    let last = failures.iter().max()?;
    Some(until(u32::try_from(failures.len()).unwrap_or(u32::MAX), *last))
}

/// When a pod ended: its last container, else when it was no longer ready, else when its deletion was asked for.
pub(crate) fn finished_at(pod: &Pod) -> Timestamp {
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    containers_ended(pod).or_else(|| became_unready(pod)).or_else(|| deleted(pod)).or(created).unwrap_or_default()
}

fn containers_ended(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ended: Option<Vec<Timestamp>> = containers
        .iter()
        .map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0))
        .collect();
    ended?.into_iter().max()
}

fn became_unready(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "False")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

fn deleted(pod: &Pod) -> Option<Timestamp> {
    let deadline = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    deadline.checked_sub(grace).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(second: i64) -> Pod {
        let at = Timestamp::from_second(second).unwrap().to_string();
        serde_json::from_value(json!({
            "metadata": {},
            "status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": at}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_wait_doubles_up_to_ten_minutes() {
        let waits: Vec<i64> =
            [1, 2, 3, 6, 7, 40].map(|failures| until(failures, Timestamp::UNIX_EPOCH).as_second()).to_vec();
        assert_eq!(waits, [10, 20, 40, 320, 600, 600]);
    }

    #[test]
    fn failures_before_the_last_success_are_forgiven() {
        let check = |failed: &[i64], succeeded: &[i64], expect: Option<i64>| {
            let pods = |seconds: &[i64]| seconds.iter().map(|second| ended(*second)).collect::<Vec<_>>();
            let (failed, succeeded) = (pods(failed), pods(succeeded));
            let found = after(failed.iter(), succeeded.iter()).map(Timestamp::as_second);
            assert_eq!(found, expect, "{failed:?}");
        };
        check(&[], &[], None);
        check(&[100], &[], Some(110));
        check(&[100, 120], &[], Some(140));
        check(&[100, 120], &[110], Some(130));
        check(&[100, 120], &[120], None);
    }

    #[test]
    fn a_pod_ended_when_its_last_container_did_or_as_its_deletion_was_asked_for() {
        let containers = json!([
            {"name": "a", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:00:07Z"}}},
            {"name": "b", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:00:05Z"}}},
        ]);
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {}, "status": {"containerStatuses": containers}})).unwrap();
        assert_eq!(finished_at(&pod).as_second(), 7);
        let deleted = json!({"deletionTimestamp": "1970-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30});
        let pod: Pod = serde_json::from_value(json!({"metadata": deleted})).unwrap();
        assert_eq!(finished_at(&pod).as_second(), 30);
    }
}
