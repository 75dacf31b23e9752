//! What a pod takes of its node.

use serde_json::Value;

use super::super::fill::set;
use super::super::read::{at, items, size, text};
use super::PODS;
use super::resources::{Amounts, List, of_pod, raise};
use crate::object::{Object, written_share};
use crate::store::{Snapshot, Sums};

/// The sum of what the pods of a controller on a node count for, one each. No resource has a space in its name.
pub fn siblings(controller: &str) -> String {
    format!("controller {controller}")
}

/// The sum of pods on a node that shun others: that require not to stand near some.
pub const SHUNNING: &str = "shunning";

/// The sum of pods on a node of one priority.
const PRIORITY: &str = "priority ";

/// Whether `sums` are of a node with a pod of lower priority than `priority`.
pub fn has_lower(sums: &Sums, priority: i32) -> bool {
    let known = sums.iter().filter_map(|(name, _)| name.strip_prefix(PRIORITY)?.parse::<i32>().ok());
    known.min().is_some_and(|least| least < priority)
}

/// Whose sums pods have a share in that have ended and that nobody has deleted: no node has an empty name.
const NO_NODE: &str = "";
/// The sum of those, one each.
const ENDED: &str = "ended";
/// The sum of those among them that their node rid itself of.
const EVICTED: &str = "evicted";

/// How many pods have ended and are kept: nobody has deleted them. It costs the same however many there are.
pub fn kept_after_end(snapshot: &Snapshot) -> usize {
    snapshot.sums(PODS, NO_NODE).map_or(0, |sums| usize::try_from(sums.get(ENDED)).unwrap_or_default())
}

/// Whether a pod has ended and is kept.
pub fn is_kept_after_end(pod: &Object) -> bool {
    pod.share().is_some_and(|share| share.of() == NO_NODE)
}

/// Whether a pod that is kept after its end is one that its node rid itself of.
pub fn was_evicted(pod: &Object) -> bool {
    pod.share().is_some_and(|share| share.of() == NO_NODE && share.amounts().any(|(name, _)| name == EVICTED))
}

/// What a pod has a share in: the sums of its node, by resource (thousandths of CPUs, whole units of all else), `pods`,
/// those of its priority, [`siblings`] and [`SHUNNING`]. One that has ended takes nothing of it, and is counted as such.
pub(super) fn of(pod: &Value) -> Option<String> {
    let node = text(pod, "/spec/nodeName");
    match text(pod, "/status/phase") {
        phase @ ("Succeeded" | "Failed") => ended(pod, phase),
        _ if node.is_empty() => None,
        _ => Some(standing(pod, node)),
    }
}

fn ended(pod: &Value, phase: &str) -> Option<String> {
    let is_kept = text(pod, "/metadata/deletionTimestamp").is_empty();
    let was_evicted = phase == "Failed" && text(pod, "/status/reason") == "Evicted";
    let counted = [ENDED].into_iter().chain(was_evicted.then_some(EVICTED));
    is_kept.then(|| written_share(NO_NODE, counted.map(|name| (name, 1))))
}

fn standing(pod: &Value, node: &str) -> String {
    let asked = taken(pod);
    let whole = asked.iter().map(|(name, amount)| match &**name {
        "cpu" => ("cpu", amount.milli_value()),
        name => (name, amount.value()),
    });
    let mut owners = items(pod, "/metadata/ownerReferences");
    let controller = owners.find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let siblings = controller.map(|owner| siblings(text(owner, "/uid")));
    let shuns = size(pod, "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution") > 0;
    let priority = format!("{PRIORITY}{}", at(pod, "/spec/priority").and_then(Value::as_i64).unwrap_or_default());
    let counted = siblings.as_deref().into_iter().chain(["pods", &priority]).chain(shuns.then_some(SHUNNING));
    let counted = counted.map(|name| (name, 1));
    written_share(node, whole.chain(counted))
}

/// What a pod takes: what it asks for, and what its node grants it while that is more. A wish its node can never grant takes
/// nothing.
fn taken(pod: &Value) -> Amounts {
    let mut asked = of_pod(pod, List::Requests);
    let Some(as_granted) = as_granted(pod) else { return asked };
    let granted = of_pod(&as_granted, List::Requests);
    let infeasible = |condition: &Value| {
        text(condition, "/type") == "PodResizePending" && text(condition, "/reason") == "Infeasible"
    };
    if items(pod, "/status/conditions").any(infeasible) {
        return granted;
    }
    raise(&mut asked, &granted);
    asked
}

/// The pod with what its node grants it, where that is something else than it asks for.
fn as_granted(pod: &Value) -> Option<Value> {
    let lists = [("containers", "/status/containerStatuses"), ("initContainers", "/status/initContainerStatuses")];
    let mut granted = None;
    for (list, statuses) in lists {
        for (index, container) in items(pod, &format!("/spec/{list}")).enumerate() {
            let told = items(pod, statuses).find(|status| text(status, "/name") == text(container, "/name"));
            let Some(told) = told.and_then(|status| status.get("allocatedResources")) else { continue };
            if Some(told) != at(container, "/resources/requests") {
                let granted = granted.get_or_insert_with(|| pod.clone());
                if let Some(resources) = granted.pointer_mut(&format!("/spec/{list}/{index}/resources")) {
                    set(resources, "requests", told.clone());
                }
            }
        }
    }
    granted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_takes_of_its_node_until_it_has_ended() {
        let pod = |node: &str, phase: &str| {
            json!({"metadata": {"ownerReferences": [{"uid": "x"}, {"uid": "u", "controller": true}]},
                "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": "1500m", "memory": "1Ki"}}}]},
                "status": {"phase": phase}})
        };
        let expect = "n\ncpu=1500\nmemory=1024\ncontroller u=1\npods=1\npriority 0=1";
        assert_eq!(of(&pod("n", "Running")).as_deref(), Some(expect));
        assert_eq!(of(&pod("", "Pending")), None);
    }

    #[test]
    fn a_pod_that_has_ended_counts_as_such_until_it_is_deleted() {
        let check = |phase: &str, reason: &str, deleted: &str, expect: Option<&str>| {
            let pod = json!({"metadata": {"deletionTimestamp": deleted}, "spec": {"nodeName": "n", "containers": []},
                "status": {"phase": phase, "reason": reason}});
            assert_eq!(of(&pod).as_deref(), expect, "{phase} {reason} {deleted}");
        };
        check("Failed", "", "", Some("\nended=1"));
        check("Failed", "Evicted", "", Some("\nended=1\nevicted=1"));
        check("Succeeded", "Evicted", "", Some("\nended=1"));
        check("Succeeded", "", "2026-01-01T00:00:00Z", None);
        check("Running", "", "2026-01-01T00:00:00Z", Some("n\npods=1\npriority 0=1"));
    }

    #[test]
    fn an_owners_uid_adds_to_no_sum_but_its_own() {
        let owner = json!({"uid": "x=1\ncpu=-900000\npods=-100\ncontroller:other", "controller": true});
        let pod = json!({"metadata": {"ownerReferences": [owner]}, "spec": {"nodeName": "n"}});
        assert_eq!(of(&pod).as_deref(), Some("n\npods=1\npriority 0=1"));
    }

    #[test]
    fn a_pod_that_is_resized_takes_the_more_of_what_it_has_and_wishes_for() {
        let check = |asked: &str, granted: &str, reason: &str, expect: i64| {
            let container = |cpu: &str| json!({"name": "app", "resources": {"requests": {"cpu": cpu}}});
            let status = json!({"name": "app", "allocatedResources": {"cpu": granted}});
            let pod = json!({"spec": {"containers": [container(asked)]}, "status": {"containerStatuses": [status],
                "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}]}});
            assert_eq!(taken(&pod)["cpu"].milli_value(), expect, "{asked} {granted} {reason}");
        };
        check("2", "1", "Deferred", 2000);
        check("1", "2", "", 2000);
        check("9", "1", "Infeasible", 1000);
        check("1", "1", "", 1000);
    }
}
