//! Nodes: the machines pods run on.

mod columns;
mod pod_range;
mod validate;

use jiff::Timestamp;
use serde_json::Value;

use super::fill::{fill, object_at, present, set};
use super::read::{is_true, items, text};
use super::{
    Cell, Column, Destination, FieldGetter, ProxyName, ResourceDefinition, Scope, ServedVersion, Strategy,
    SubresourceDefinition, ValuesGetter, WriteContext,
};
use crate::object::{Object, ResourceType};
use crate::status::{Status, StatusCause};
use crate::store::{CommitCondition, Snapshot};

pub(crate) use pod_range::is_wanted as wants_pod_range;

/// The resource type.
pub const NODES: ResourceType = ResourceType::new("", "nodes");

const SELECTABLE: &[(&str, FieldGetter)] =
    &[("spec.unschedulable", |node| is_true(node, "/spec/unschedulable").to_string())];

/// The field nodes are found by that are not ready; its value is always the same.
pub const UNREADY: &str = "unready";

/// By their ranges as well, so that each is given once.
const INDEXED: &[(&str, ValuesGetter)] = &[
    (UNREADY, |node| unready(node).into_iter().collect()),
    (pod_range::RANGE, |node| pod_range::of(node).map(str::to_owned).into_iter().collect()),
];

fn unready(node: &Value) -> Option<String> {
    let mut conditions = items(node, "/status/conditions");
    let is_ready = conditions.any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True");
    (!is_ready).then(String::new)
}

const SUBRESOURCES: &[SubresourceDefinition] = &[SubresourceDefinition::proxy("NodeProxyOptions")];

struct NodeStrategy;

/// What a Node is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.Node");
    ResourceDefinition {
        short_names: &["no"],
        scope: Scope::Cluster,
        has_status: true,
        subresources: SUBRESOURCES,
        selectable: SELECTABLE,
        indexed: INDEXED,
        ..ResourceDefinition::plain(NODES, "Node", "node", version, NodeStrategy)
    }
}

impl Strategy for NodeStrategy {
    /// What a node has and what of it pods may use are the same unless it says otherwise.
    fn default(&self, object: &mut Value) {
        object_at(object, "spec");
        let Some(status) = present(object, "status") else { return };
        let Some(Value::Object(capacity)) = status.get("capacity").cloned() else { return };
        let Some(allocatable) = object_at(status, "allocatable") else { return };
        for (resource, amount) in capacity {
            fill(allocatable, &resource, amount);
        }
    }

    fn prepare_create(&self, object: &mut Value, cx: &WriteContext<'_>) {
        pod_range::draw(object, None, cx.snapshot);
    }

    fn commit_conditions(&self, object: &Value) -> Vec<CommitCondition> {
        pod_range::claims(object)
    }

    /// The network a node was given stays, also where a client that does not know of it leaves it out.
    fn prepare_update(&self, object: &mut Value, old: &Value, cx: &WriteContext<'_>) {
        pod_range::draw(object, Some(old), cx.snapshot);
        let Some(spec) = object_at(object, "spec") else { return };
        for field in ["podCIDR", "podCIDRs", "providerID"] {
            if let (None, Some(kept)) = (spec.get(field), old.get("spec").and_then(|spec| spec.get(field))) {
                set(spec, field, kept.clone());
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        validate::node(object).errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        validate::update(object, old).errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        validate::status(object).errors.causes()
    }

    fn destination(&self, node: &Object, _: &ProxyName<'_>, _: &Snapshot) -> Result<Destination, Status> {
        Ok(Destination::Node(node.key().name.to_string()))
    }

    fn columns(&self) -> Vec<Column> {
        columns::columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        columns::cells(object, now)
    }
}
