//! What a pod takes of its node.

use serde_json::Value;

use super::super::read::{items, size, text};
use super::resources::{List, of_pod};
use crate::object::written_share;

/// The sum of what the pods of a controller on a node count for, one each.
pub fn siblings(controller: &str) -> String {
    format!("controller/{controller}")
}

/// The sum of pods on a node that shun others: that require not to stand near some.
pub const SHUNNING: &str = "shunning";

/// What a pod has a share in: the sums of its node, by resource (thousandths of CPUs, whole units of all else), `pods`,
/// [`siblings`] and [`SHUNNING`]. One that has ended takes nothing.
pub(super) fn of(pod: &Value) -> Option<String> {
    let node = text(pod, "/spec/nodeName");
    if node.is_empty() || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return None;
    }
    let asked = of_pod(pod, List::Requests);
    let whole = asked.iter().map(|(name, amount)| match &**name {
        "cpu" => ("cpu", amount.milli_value()),
        name => (name, amount.value()),
    });
    let mut owners = items(pod, "/metadata/ownerReferences");
    let controller = owners.find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let siblings = controller.map(|owner| siblings(text(owner, "/uid")));
    let shuns = size(pod, "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution") > 0;
    let counted = siblings.as_deref().into_iter().chain(["pods"]).chain(shuns.then_some(SHUNNING));
    let counted = counted.map(|name| (name, 1));
    Some(written_share(node, whole.chain(counted)))
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
        let expect = "n\ncpu=1500\nmemory=1024\ncontroller/u=1\npods=1";
        assert_eq!(of(&pod("n", "Running")).as_deref(), Some(expect));
        assert_eq!(of(&pod("n", "Failed")), None);
        assert_eq!(of(&pod("", "Pending")), None);
    }
}
