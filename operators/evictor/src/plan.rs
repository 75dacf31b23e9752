//! What is known of a pod and its node, and what becomes of it there.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint};
use sampan_core::resource::pod::DISRUPTION_TARGET;
use sampan_podset::is_node_ready;
use sampan_podset::taints::{taints, toleration_of};

/// Says of a node that it is shut down and will not come back as it was: its pods need nobody to end them.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// How long a pod may be bound to a node that is not there: the node may be about to register.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);
/// How long a pod may be said to be about to go: whoever said so and has not deleted it by then, will not.
const MARKED_FOR: SignedDuration = SignedDuration::from_mins(2);
/// Why, where a taint drives it away.
pub(crate) const BY_TAINT: &str = "DeletionByTaintManager";
/// Why, where its node is gone.
pub(crate) const BY_COLLECTION: &str = "DeletionByPodGC";

/// What is known of a pod.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) pod: Arc<Pod>,
    /// Whether it is said to be about to go, and may stay.
    pub(crate) is_marked: bool,
    /// The node it is bound to, where that is there.
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) now: Timestamp,
    /// Since when anything was heard.
    pub(crate) hears_since: Timestamp,
    /// When it was first seen that its node has a taint that does not say since when.
    pub(crate) noticed: Option<Timestamp>,
}

/// What becomes of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing takes it from where it is.
    Settled,
    /// Its node will be too much for it by then.
    Tolerating(Timestamp),
    /// Its node is too much for it.
    Evicting,
    /// Somebody says that it is about to go, which holds until then.
    Marked(Timestamp),
    /// Somebody said so, and it has not gone.
    Unmarking,
    /// It is being deleted, and its node ends it.
    Leaving,
    /// Its node is not there; it may come until then.
    Orphaned(Timestamp),
    /// Nobody is there who could end it.
    Removing(Cause),
    /// It is removed, but for finalizers.
    Held,
}

/// Why nobody can end a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Its node is gone.
    NodeGone,
    /// Its node is out of service.
    OutOfService,
    /// It never had one.
    Unplaced,
}

impl View {
    /// What becomes of the pod.
    pub(crate) fn fate(&self) -> Fate {
        match self.cause() {
            Some(_) if self.has_ended() && self.is_forced() => Fate::Held,
            Some(Cause::NodeGone) if self.now < self.orphaned_until() => Fate::Orphaned(self.orphaned_until()),
            Some(cause) => Fate::Removing(cause),
            None if self.is_terminating() && self.is_driven() => Fate::Leaving,
            None if self.is_terminating() => Fate::Settled,
            None => self.staying(),
        }
    }

    fn staying(&self) -> Fate {
        match (self.tolerance(), self.marked_until()) {
            (Fate::Evicting, _) => Fate::Evicting,
            (_, Some(until)) if until <= self.now => Fate::Unmarking,
            (Fate::Settled, Some(until)) => Fate::Marked(until),
            (fate, _) => fate,
        }
    }

    /// Until when somebody's word holds that the pod is about to go. What was said because of the node's taints holds as long as
    /// those are there.
    pub(crate) fn marked_until(&self) -> Option<Timestamp> {
        if self.says_why() && self.is_driven() {
            return None;
        }
        let mark = conditions(&self.pod).find(|it| it.type_ == DISRUPTION_TARGET).filter(|_| self.is_marked)?;
        let since = mark.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
        since.checked_add(MARKED_FOR).ok()
    }

    fn cause(&self) -> Option<Cause> {
        match (node_of(&self.pod), &self.node) {
            (None, _) => self.is_terminating().then_some(Cause::Unplaced),
            (Some(_), None) => Some(Cause::NodeGone),
            (Some(_), Some(node)) => (self.is_terminating() && is_out_of_service(node)).then_some(Cause::OutOfService),
        }
    }

    fn is_driven(&self) -> bool {
        self.node.as_ref().is_some_and(|node| drives_pods_away(node))
    }

    /// How long it puts up with the taints of its node: as long as with the one it puts up with least.
    fn tolerance(&self) -> Fate {
        let driving = self.node.iter().flat_map(|node| driving(node));
        match driving.filter_map(|taint| self.tolerated_until(taint)).min() {
            None => Fate::Settled,
            Some(until) if until <= self.now => Fate::Evicting,
            Some(until) => Fate::Tolerating(until),
        }
    }

    /// Until when it tolerates a taint; `None` for ever.
    fn tolerated_until(&self, taint: &Taint) -> Option<Timestamp> {
        let Some(toleration) = toleration_of(&self.pod, taint) else { return Some(Timestamp::MIN) };
        let seconds = toleration.toleration_seconds?;
        let since = taint.time_added.as_ref().map_or(self.noticed.unwrap_or(self.now), |added| added.0);
        let since = since.max(self.bound_at());
        since.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// Whether its node has a taint that does not say since when.
    pub(crate) fn is_undated(&self) -> bool {
        self.node.iter().flat_map(|node| driving(node)).any(|taint| taint.time_added.is_none())
    }

    /// Snapshots are never stale, so that a node that is not there is gone: what is waited for are nodes that never were.
    fn orphaned_until(&self) -> Timestamp {
        self.bound_at().max(self.hears_since).saturating_add(QUARANTINE).unwrap_or(Timestamp::MAX)
    }

    fn bound_at(&self) -> Timestamp {
        let scheduled = conditions(&self.pod).find(|it| it.type_ == "PodScheduled" && it.status == "True");
        let bound = scheduled.and_then(|it| it.last_transition_time.as_ref());
        bound.or(self.pod.metadata.creation_timestamp.as_ref()).map_or(Timestamp::MIN, |time| time.0)
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether it was removed by force, or had no grace to begin with.
    pub(crate) fn is_forced(&self) -> bool {
        self.is_terminating() && self.pod.metadata.deletion_grace_period_seconds.unwrap_or_default() == 0
    }

    pub(crate) fn has_ended(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    /// Whether the pod says that a taint drives it away.
    pub(crate) fn says_why(&self) -> bool {
        let mut conditions = conditions(&self.pod);
        conditions
            .any(|it| it.type_ == DISRUPTION_TARGET && it.status == "True" && it.reason.as_deref() == Some(BY_TAINT))
    }
}

/// The node a pod is bound to.
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// Whether the node has taints that drive pods away.
pub(crate) fn drives_pods_away(node: &Node) -> bool {
    driving(node).next().is_some()
}

fn driving(node: &Node) -> impl Iterator<Item = &Taint> {
    taints(node).filter(|taint| taint.effect == "NoExecute")
}

/// Whether somebody says of a node that is not ready that it will not come back as it was.
pub(crate) fn is_out_of_service(node: &Node) -> bool {
    !is_node_ready(node) && taints(node).any(|taint| taint.key == OUT_OF_SERVICE)
}

fn conditions(pod: &Pod) -> impl Iterator<Item = &PodCondition> {
    pod.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1000;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn view(pod: Value, node: Option<Value>) -> View {
        let pod = Arc::new(serde_json::from_value(pod).unwrap());
        let node = node.map(|node| Arc::new(serde_json::from_value(node).unwrap()));
        View { pod, is_marked: false, node, now: time(NOW), hears_since: time(0), noticed: None }
    }

    fn pod(tolerations: Value) -> Value {
        json!({"metadata": {"creationTimestamp": time(0).to_string()},
            "spec": {"containers": [], "nodeName": "here", "tolerations": tolerations}})
    }

    fn node(taints: Value, ready: &str) -> Value {
        json!({"metadata": {}, "spec": {"taints": taints}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn taint(key: &str, added: Option<i64>) -> Value {
        json!({"key": key, "effect": "NoExecute", "timeAdded": added.map(|second| time(second).to_string())})
    }

    fn tolerating(key: &str, seconds: Option<i64>) -> Value {
        json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})
    }

    #[test]
    fn a_pod_stays_as_long_as_it_tolerates_every_taint() {
        let (a, b) = (|seconds| tolerating("a", seconds), |seconds| tolerating("b", seconds));
        let cases = [
            (json!([]), json!([]), Fate::Settled),
            (json!([]), json!([taint("a", Some(990))]), Fate::Evicting),
            (json!([a(None)]), json!([taint("a", Some(990))]), Fate::Settled),
            (json!([a(Some(30))]), json!([taint("a", Some(990))]), Fate::Tolerating(time(1020))),
            (json!([a(Some(30))]), json!([taint("a", Some(970))]), Fate::Evicting),
            (json!([a(Some(30))]), json!([taint("a", Some(990)), taint("b", Some(990))]), Fate::Evicting),
            (
                json!([a(Some(30)), b(None)]),
                json!([taint("a", Some(990)), taint("b", None)]),
                Fate::Tolerating(time(1020)),
            ),
            (json!([a(Some(30))]), json!([taint("a", None)]), Fate::Tolerating(time(1030))),
            (json!([a(Some(0))]), json!([taint("a", Some(1000))]), Fate::Evicting),
        ];
        for (tolerations, taints, expect) in cases {
            assert_eq!(
                view(pod(tolerations.clone()), Some(node(taints.clone(), "True"))).fate(),
                expect,
                "{tolerations} {taints}"
            );
        }
    }

    #[test]
    fn what_is_said_of_a_pod_holds_for_a_while() {
        let check = |since: Option<i64>, taints: Value, expect: Fate| {
            let mut said = pod(json!([tolerating("a", Some(30))]));
            let since = since.map(|since| time(since).to_string());
            said["status"]["conditions"] =
                json!([{"type": "DisruptionTarget", "status": "True", "lastTransitionTime": since}]);
            let view = View { is_marked: true, ..view(said, Some(node(taints, "True"))) };
            assert_eq!(view.fate(), expect, "{since:?}");
        };
        check(Some(900), json!([]), Fate::Marked(time(1020)));
        check(Some(880), json!([]), Fate::Unmarking);
        check(None, json!([]), Fate::Unmarking);
        check(Some(900), json!([taint("a", Some(990))]), Fate::Tolerating(time(1020)));
        check(Some(880), json!([taint("a", Some(990))]), Fate::Unmarking);
        check(Some(880), json!([taint("b", Some(990))]), Fate::Evicting);
    }

    #[test]
    fn a_pod_tolerates_from_when_it_came() {
        let mut late = pod(json!([tolerating("a", Some(30))]));
        late["metadata"]["creationTimestamp"] = json!(time(995).to_string());
        let tainted = node(json!([taint("a", Some(10))]), "True");
        assert_eq!(view(late, Some(tainted)).fate(), Fate::Tolerating(time(1025)));
    }

    #[test]
    fn a_pod_without_a_node_is_removed_unless_the_node_may_still_come() {
        assert_eq!(view(pod(json!([])), None).fate(), Fate::Removing(Cause::NodeGone));
        let mut early = pod(json!([]));
        early["metadata"]["creationTimestamp"] = json!(time(990).to_string());
        assert_eq!(view(early, None).fate(), Fate::Orphaned(time(1030)));
        let mut started = view(pod(json!([])), None);
        started.hears_since = time(980);
        assert_eq!(started.fate(), Fate::Orphaned(time(1020)));
    }

    /// The heart of it: whoever can still end a pod ends it.
    #[test]
    fn a_pod_of_a_lost_node_is_never_removed_by_force() {
        let mut deleted = pod(json!([]));
        deleted["metadata"]["deletionTimestamp"] = json!(time(1).to_string());
        deleted["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        let service = json!([{"key": OUT_OF_SERVICE, "effect": "NoSchedule"}]);
        let cases = [
            (node(json!([taint("node.kubernetes.io/unreachable", Some(2))]), "Unknown"), Fate::Leaving),
            (node(json!([]), "Unknown"), Fate::Settled),
            (node(service.clone(), "Unknown"), Fate::Removing(Cause::OutOfService)),
            (node(service, "True"), Fate::Settled),
        ];
        for (node, expect) in cases {
            assert_eq!(view(deleted.clone(), Some(node.clone())).fate(), expect, "{node}");
        }
    }
}
