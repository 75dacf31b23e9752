//! What `kubectl get nodes` shows.

use jiff::Timestamp;
use serde_json::Value;

use crate::resource::read::{is_true, items, text, texts};
use crate::resource::table::{NONE, UNKNOWN, age, or_none};
use crate::resource::{Cell, Column};

/// A label whose name ends in the role.
const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
/// A label whose value is the role.
const ROLE_LABEL: &str = "kubernetes.io/role";

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::text("Status", "Whether the node runs pods."),
        Column::text("Roles", "The node's roles."),
        Column::age(),
        Column::text("Version", "The version the node agent reports."),
        Column::text("Internal-IP", "The node's address inside the cluster.").wide(),
        Column::text("External-IP", "The node's address outside the cluster.").wide(),
        Column::text("OS-Image", "The operating system.").wide(),
        Column::text("Kernel-Version", "The kernel.").wide(),
        Column::text("Container-Runtime", "The container runtime.").wide(),
    ]
}

pub(super) fn cells(node: &Value, now: Timestamp) -> Vec<Cell> {
    let info = |field: &str| text(node, &format!("/status/nodeInfo/{field}")).to_owned();
    let or_unknown = |shown: String| if shown.is_empty() { UNKNOWN.to_owned() } else { shown };
    vec![
        status(node).into(),
        or_none(&roles(node)),
        age(node, now),
        info("kubeletVersion").into(),
        address(node, "InternalIP"),
        address(node, "ExternalIP"),
        or_unknown(info("osImage")).into(),
        or_unknown(info("kernelVersion")).into(),
        or_unknown(info("containerRuntimeVersion")).into(),
    ]
}

fn status(node: &Value) -> String {
    let ready = items(node, "/status/conditions").find(|condition| text(condition, "/type") == "Ready");
    let status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if is_true(node, "/spec/unschedulable") { format!("{status},SchedulingDisabled") } else { status.to_owned() }
}

fn roles(node: &Value) -> String {
    let role = |(label, value)| match (str::strip_prefix(label, ROLE_PREFIX), label) {
        (Some(role), _) if !role.is_empty() => Some(role),
        (None, ROLE_LABEL) if !str::is_empty(value) => Some(value),
        _ => None,
    };
    let mut roles: Vec<&str> = texts(node, "/metadata/labels").filter_map(role).collect();
    roles.sort_unstable();
    roles.dedup();
    roles.join(",")
}

fn address(node: &Value, kind: &str) -> Cell {
    let found = items(node, "/status/addresses").find(|address| text(address, "/type") == kind);
    found.map_or(NONE.into(), |address| text(address, "/address").into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_shows_its_state_and_roles() {
        let node = json!({
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1.35.0"}}});
        let shown = cells(&node, Timestamp::UNIX_EPOCH);
        let expected =
            ["Ready,SchedulingDisabled", "control-plane,worker", "<unknown>", "v1.35.0", "10.0.0.1", "<none>"];
        assert_eq!(shown[..6], expected.map(Value::from));
        assert_eq!(shown.len(), columns().len());
        assert_eq!(status(&json!({})), "Unknown");
    }
}
