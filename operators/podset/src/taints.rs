//! Taints of nodes and what pods tolerate of them.

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

use crate::node::condition_of;

/// Stands for a node that says it is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Stands for a node that does not answer.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Stands for a node that takes no new pods.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The first taint that keeps the pod off the node. A node that is not ready keeps new pods off, tainted or not.
pub fn refused_by(pod: &Pod, node: &Node) -> Option<Taint> {
    let refuses = |taint: &&Taint| matches!(&*taint.effect, "NoSchedule" | "NoExecute") && !tolerates(pod, taint);
    if let Some(taint) = taints(node).find(refuses) {
        return Some(taint.clone());
    }
    unhealthy(node).filter(|taint| !tolerates(pod, taint))
}

/// Whether a taint of one of these effects stands against the pod.
pub fn stands_against(pod: &Pod, node: &Node, effects: &[&str]) -> bool {
    taints(node).any(|taint| effects.contains(&&*taint.effect) && !tolerates(pod, taint))
}

/// Whether the node takes no new pods and the pod does not mind that either.
pub fn is_cordoned_for(pod: &Pod, node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default();
    cordoned && !tolerates(pod, &no_schedule(UNSCHEDULABLE))
}

/// How many taints would rather have the pod elsewhere.
pub fn discouraging(pod: &Pod, node: &Node) -> usize {
    taints(node).filter(|taint| taint.effect == "PreferNoSchedule" && !tolerates(pod, taint)).count()
}

/// The node's taints.
pub fn taints(node: &Node) -> impl Iterator<Item = &Taint> {
    node.spec.iter().flat_map(|spec| spec.taints.iter().flatten())
}

fn unhealthy(node: &Node) -> Option<Taint> {
    match condition_of(node, "Ready")? {
        "True" => None,
        "Unknown" => Some(no_schedule(UNREACHABLE)),
        _ => Some(no_schedule(NOT_READY)),
    }
}

fn no_schedule(key: &str) -> Taint {
    Taint { key: key.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() }
}

fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    toleration_of(pod, taint).is_some()
}

/// The first of the pod's tolerations that covers the taint: it is the one that says for how long.
pub fn toleration_of<'a>(pod: &'a Pod, taint: &Taint) -> Option<&'a Toleration> {
    let mut tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    tolerations.find(|toleration| covers(toleration, taint))
}

fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &'_ Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    let names = (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key);
    names
        && match &*text(&toleration.operator) {
            "Exists" => true,
            "" | "Equal" => text(&toleration.value) == text(&taint.value),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(tolerations: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [], "tolerations": tolerations}})).unwrap()
    }

    fn node(spec: Value, ready: &str) -> Node {
        let conditions = json!([{"type": "Ready", "status": ready}]);
        serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": {"conditions": conditions}})).unwrap()
    }

    #[test]
    fn a_taint_keeps_off_whoever_does_not_tolerate_it() {
        let tainted = node(json!({"taints": [{"key": "gpu", "value": "a", "effect": "NoSchedule"}]}), "True");
        assert_eq!(refused_by(&pod(json!([])), &tainted).unwrap().key, "gpu");
        for toleration in [
            json!({"operator": "Exists"}),
            json!({"key": "gpu", "operator": "Exists"}),
            json!({"key": "gpu", "value": "a", "effect": "NoSchedule"}),
        ] {
            assert_eq!(refused_by(&pod(json!([toleration])), &tainted), None, "{toleration}");
        }
        for toleration in [
            json!({"key": "gpu", "value": "b"}),
            json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}),
            json!({"key": "cpu", "operator": "Exists"}),
        ] {
            assert!(refused_by(&pod(json!([toleration])), &tainted).is_some(), "{toleration}");
        }
    }

    #[test]
    fn a_node_that_is_not_ready_takes_no_new_pods() {
        assert_eq!(refused_by(&pod(json!([])), &node(json!({}), "False")).unwrap().key, NOT_READY);
        assert_eq!(refused_by(&pod(json!([])), &node(json!({}), "Unknown")).unwrap().key, UNREACHABLE);
        assert_eq!(refused_by(&pod(json!([])), &node(json!({}), "True")), None);
        let patient = json!([{"key": NOT_READY, "operator": "Exists", "effect": "NoExecute"}]);
        assert!(refused_by(&pod(patient), &node(json!({}), "False")).is_some());
    }

    #[test]
    fn a_soft_taint_only_discourages() {
        let soft = node(json!({"taints": [{"key": "old", "effect": "PreferNoSchedule"}]}), "True");
        assert_eq!(refused_by(&pod(json!([])), &soft), None);
        assert_eq!(discouraging(&pod(json!([])), &soft), 1);
        assert!(is_cordoned_for(&pod(json!([])), &node(json!({"unschedulable": true}), "True")));
        assert!(!is_cordoned_for(&pod(json!([{"operator": "Exists"}])), &node(json!({"unschedulable": true}), "True")));
    }
}
