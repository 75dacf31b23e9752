//! Who takes room on a node, or is promised some.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_core::object::Object;
use sampan_core::resource::PODS;
use sampan_core::store::{IndexKey, PLACE, Snapshot};

use crate::term::stands;

const NOMINATED: &str = "status.nominatedNodeName";

/// The index of pods on a node.
pub(crate) fn on_node(node: &str) -> IndexKey {
    IndexKey::Field { resource: PODS, field: PLACE, value: node.into() }
}

/// The index of pods that others give way to on a node.
pub(crate) fn nominated_for(node: &str) -> IndexKey {
    IndexKey::Field { resource: PODS, field: NOMINATED, value: node.into() }
}

/// The pods that take room on a node from `pod`: those that stand there, and those no less important that were promised it.
pub(crate) fn occupants(pod: &Pod, node: &str, snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let standing = snapshot.index(&on_node(node)).filter(|other| stands(other));
    let promised = snapshot.index(&nominated_for(node)).filter(|other| is_promised(other));
    let promised = promised.filter_map(|other| other.decode::<Pod>().ok());
    let own = pod.metadata.uid.as_deref();
    let before = promised.filter(|other| other.metadata.uid.as_deref() != own && priority(other) >= priority(pod));
    standing.filter_map(|other| other.decode::<Pod>().ok()).chain(before).collect()
}

/// Whether the pod waits for room that was promised it.
pub(crate) fn is_promised(pod: &Object) -> bool {
    let waits = pod.field(PLACE).is_none_or(str::is_empty) && !pod.metadata().is_terminating();
    waits && pod.field(NOMINATED).is_some_and(|node| !node.is_empty())
}

/// The node the pod was promised.
pub(crate) fn nominated_node(pod: &Pod) -> Option<&str> {
    let nominated = pod.status.as_ref()?.nominated_node_name.as_deref();
    nominated.filter(|node| !node.is_empty())
}

/// How important the pod is.
pub(crate) fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default()
}
