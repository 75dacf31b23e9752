//! What of a node concerns pods.

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use sampan_core::object::Object;

/// The status of one of the node's conditions: `True`, `False` or `Unknown`; `None` where it never said.
pub fn condition_of<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    conditions(node).find(|condition| condition.type_ == name).map(|condition| &*condition.status)
}

/// Whether the node says it is ready, and is heard of.
pub fn is_node_ready(node: &Node) -> bool {
    condition_of(node, "Ready") == Some("True")
}

/// Whether anything of the node has changed but the time at which it last told how it is.
pub fn node_differs(before: &Object, after: &Object) -> bool {
    let (Ok(before), Ok(after)) = (before.decode::<Node>(), after.decode::<Node>()) else { return true };
    lasting(&before) != lasting(&after)
}

/// The node without what changes although nothing happens.
fn lasting(node: &Node) -> Node {
    let mut node = node.clone();
    node.metadata.resource_version = None;
    node.metadata.managed_fields = None;
    for condition in node.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
        condition.last_heartbeat_time = None;
    }
    node
}

fn conditions(node: &Node) -> impl Iterator<Item = &NodeCondition> {
    node.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

#[cfg(test)]
mod tests {
    use sampan_core::object::{Draft, ObjectKey, Revision};
    use sampan_core::resource::NODES;
    use serde_json::{Value, json};

    use super::*;

    fn differs(before: Value, after: Value) -> bool {
        let object = |status: Value, revision: u64| {
            let key = ObjectKey::cluster(NODES, "n");
            let whole = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u",
                "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": status});
            Draft::new(key, whole, Vec::new()).unwrap().at(Revision(revision))
        };
        node_differs(&object(before, 1), &object(after, 2))
    }

    fn told(status: &str, at: &str) -> Value {
        json!({"conditions": [{"type": "Ready", "status": status, "lastHeartbeatTime": at}]})
    }

    #[test]
    fn a_sign_of_life_is_no_difference() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z");
        assert!(!differs(told("True", early), told("True", late)));
        assert!(differs(told("True", early), told("False", late)));
        assert!(differs(json!({"allocatable": {"cpu": "1"}}), json!({"allocatable": {"cpu": "2"}})));
    }

    #[test]
    fn a_node_that_never_said_is_not_ready() {
        assert!(!is_node_ready(&Node::default()));
    }
}
