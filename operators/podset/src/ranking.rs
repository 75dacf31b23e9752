//! Which pods go first when there are too many.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{is_ready, ready_since};

/// The annotation with which users rank pods: lower goes first, a missing one is 0.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A pod that may go, and how many pods of the same set its node holds.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Active pods of the same owner on the same node, itself included.
    pub on_node: usize,
    /// Whether it has been ready for as long as its owner asks.
    pub is_available: bool,
}

/// Sorts pods by who goes first, in the order of Kubernetes' `ActivePodsWithRanks`: without a node before placed, pending
/// before unknown before running, unready before ready, cheaper before dearer, more crowded nodes first, ready for a
/// shorter time first, restarted more often first, younger first; the name decides between equals.
///
/// Beyond Kubernetes, who is ready but not available yet goes before whoever is: a Deployment that takes a pod away counts on
/// that, and would otherwise fall below what it promises where
/// the younger pod has the emptier node (found by `sampan simulate --seed 1`).
pub fn deletion_order(candidates: &mut [Candidate]) {
    candidates.sort_by_cached_key(|candidate| {
        let pod = &candidate.pod;
        let placed = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty());
        let ready_since = ready_since(pod).unwrap_or(Timestamp::MAX);
        (
            (placed, phase_rank(pod), is_ready(pod), candidate.is_available, deletion_cost(pod)),
            (Reverse(candidate.on_node), Reverse(ready_since), Reverse(restarts(pod))),
            (Reverse(created(pod)), pod.metadata.name.clone()),
        )
    });
}

fn phase_rank(pod: &Pod) -> u8 {
    match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotation = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    annotation.and_then(|cost| cost.parse().ok()).unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or_default()
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{PodSpec, PodStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::pod::tests::ready_pod;

    fn candidate(name: &str, shape: impl FnOnce(&mut Pod)) -> Candidate {
        let mut pod = ready_pod(100);
        pod.metadata.name = Some(name.into());
        pod.metadata.creation_timestamp = Some(Time(Timestamp::from_second(50).unwrap()));
        pod.spec = Some(PodSpec { node_name: Some("here".into()), ..PodSpec::default() });
        pod.status.as_mut().unwrap().phase = Some("Running".into());
        shape(&mut pod);
        Candidate { pod: Arc::new(pod), on_node: 1, is_available: true }
    }

    fn first_of(mut candidates: Vec<Candidate>) -> String {
        deletion_order(&mut candidates);
        candidates[0].pod.metadata.name.clone().unwrap()
    }

    #[test]
    fn each_rule_decides_where_those_before_it_do_not() {
        let steady = || candidate("steady", |_| {});
        let check = |shape: fn(&mut Pod)| {
            assert_eq!(first_of(vec![steady(), candidate("victim", shape)]), "victim");
        };
        check(|pod| pod.spec.as_mut().unwrap().node_name = None);
        check(|pod| pod.status.as_mut().unwrap().phase = Some("Pending".into()));
        check(|pod| pod.status = Some(PodStatus { phase: Some("Running".into()), ..PodStatus::default() }));
        check(|pod| pod.metadata.annotations = Some([(DELETION_COST.to_owned(), "-1".to_owned())].into()));
        check(|pod| pod.status = Some(PodStatus { phase: Some("Running".into()), ..ready_pod(101).status.unwrap() }));
        check(|pod| pod.metadata.creation_timestamp = Some(Time(Timestamp::from_second(51).unwrap())));
    }

    #[test]
    fn who_is_not_available_yet_goes_before_whoever_is() {
        let fresh = Candidate { is_available: false, ..candidate("z", |_| {}) };
        let crowded = Candidate { on_node: 2, ..candidate("a", |_| {}) };
        assert_eq!(first_of(vec![crowded, fresh]), "z");
    }

    #[test]
    fn the_more_crowded_node_gives_first() {
        let crowded = Candidate { on_node: 2, ..candidate("z", |_| {}) };
        assert_eq!(first_of(vec![candidate("a", |_| {}), crowded]), "z");
    }
}
