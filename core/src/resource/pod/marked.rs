//! Pods that somebody said are about to go, and that are still here.

use serde_json::Value;

use super::super::read::{items, text};
use crate::object::Object;

/// What is kept beside such a pod, with the empty text. Few have it, and all others have nothing of it.
pub(super) const MARKED: &str = "marked";
/// The condition that says so.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// The reason of a node that ends a pod itself. How long that takes nobody knows, and no deletion follows from it.
const BY_KUBELET: &str = "TerminationByKubelet";

/// Whether a pod is said to be about to go although it has not ended, and nobody has deleted it. Nothing of it is decoded: whoever
/// hears of every change of a pod may ask.
pub fn is_marked(pod: &Object) -> bool {
    pod.field(MARKED).is_some()
}

/// What is kept beside a pod under [`MARKED`].
pub(super) fn marked(pod: &Value) -> Vec<String> {
    let is_over = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let goes = !text(pod, "/metadata/deletionTimestamp").is_empty();
    let says = |condition: &Value| {
        text(condition, "/type") == DISRUPTION_TARGET
            && text(condition, "/status") == "True"
            && text(condition, "/reason") != BY_KUBELET
    };
    let is_marked = !is_over && !goes && items(pod, "/status/conditions").any(says);
    is_marked.then(String::new).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_marked_while_it_neither_goes_nor_has_ended() {
        let check = |status: &str, reason: &str, phase: &str, deleted: &str, expect: usize| {
            let pod = json!({"metadata": {"deletionTimestamp": deleted}, "status": {"phase": phase,
                "conditions": [{"type": "DisruptionTarget", "status": status, "reason": reason}]}});
            assert_eq!(marked(&pod).len(), expect, "{pod}");
        };
        check("True", "PreemptionByScheduler", "Running", "", 1);
        check("True", "EvictionByEvictionAPI", "Pending", "", 1);
        check("False", "", "Running", "", 0);
        check("True", "TerminationByKubelet", "Running", "", 0);
        check("True", "EvictionByEvictionAPI", "Failed", "", 0);
        check("True", "EvictionByEvictionAPI", "Running", "2026-01-01T00:00:00Z", 0);
    }
}
