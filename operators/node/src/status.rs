//! What is said of a node that is silent, and of the pods on it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_podset::condition_of;

/// The conditions a node tells itself. `NetworkUnavailable` is not among them: others tell it.
const TOLD_BY_NODE: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Whether everything the node tells itself is said to be unknown.
pub(crate) fn is_all_unknown(node: &Node) -> bool {
    TOLD_BY_NODE.iter().all(|name| condition_of(node, name) == Some("Unknown"))
}

/// The node, of which nothing is known any more.
pub(crate) fn unknown(node: &Node, now: Timestamp) -> Node {
    let mut unknown = node.clone();
    let conditions = unknown.status.get_or_insert_default().conditions.get_or_insert_default();
    for name in TOLD_BY_NODE {
        match conditions.iter_mut().find(|condition| condition.type_ == name) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                "Unknown".clone_into(&mut condition.status);
                condition.reason = Some("NodeStatusUnknown".to_owned());
                condition.message = Some("Kubelet stopped posting node status.".to_owned());
                condition.last_transition_time = Some(Time(now));
            }
            None => conditions.push(NodeCondition {
                type_: name.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(now)),
            }),
        }
    }
    unknown
}

/// The pod, which is not ready: its node does not answer, and nothing should be sent to it.
pub(crate) fn not_ready(pod: &Pod, now: Timestamp) -> Pod {
    let mut pod = pod.clone();
    let conditions = pod.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten());
    for condition in conditions.filter(|condition| condition.type_ == "Ready") {
        "False".clone_into(&mut condition.status);
        condition.last_transition_time = Some(Time(now));
    }
    pod
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(conditions: Value) -> Node {
        let created = "2026-01-01T00:00:00Z";
        let value = json!({"metadata": {"creationTimestamp": created}, "status": {"conditions": conditions}});
        serde_json::from_value(value).unwrap()
    }

    fn said(node: &Node) -> Vec<String> {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        conditions.map(|it| format!("{} {} {} {}", it.type_, it.status, text(&it.reason), text(&it.message))).collect()
    }

    #[test]
    fn what_was_told_is_no_longer_known_and_what_never_was_is_said_so() {
        let node = node(json!([{"type": "Ready", "status": "True", "reason": "KubeletReady"},
            {"type": "NetworkUnavailable", "status": "False"}]));
        let unknown = unknown(&node, Timestamp::UNIX_EPOCH);
        assert_eq!(
            said(&unknown),
            [
                "Ready Unknown NodeStatusUnknown Kubelet stopped posting node status.",
                "NetworkUnavailable False  ",
                "MemoryPressure Unknown NodeStatusNeverUpdated Kubelet never posted node status.",
                "DiskPressure Unknown NodeStatusNeverUpdated Kubelet never posted node status.",
                "PIDPressure Unknown NodeStatusNeverUpdated Kubelet never posted node status.",
            ]
        );
        assert!(is_all_unknown(&unknown) && !is_all_unknown(&node));
    }
}
