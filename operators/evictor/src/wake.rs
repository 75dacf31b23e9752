//! Which pods a change concerns: those whose node does not simply keep them or that are said to be about to go, and no others.

use k8s_openapi::api::core::v1::Node;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::pod::is_marked;
use sampan_core::resource::{NODES, PODS};
use sampan_core::store::{IndexKey, Snapshot};
use sampan_podset::is_node_ready;
use sampan_podset::taints::taints;

use crate::plan::{drives_pods_away, is_out_of_service};

/// The pod itself, where it may not stay as it is. Most changes of pods wake nobody.
pub(crate) fn itself(pod: &Object, snapshot: &Snapshot) -> Option<ObjectKey> {
    let node = pod.field("spec.nodeName").filter(|name| !name.is_empty());
    let concerns = match node.map(|name| snapshot.get(&ObjectKey::cluster(NODES, name))) {
        None => pod.metadata().is_terminating(),
        Some(None) => true,
        Some(Some(node)) => node.decode::<Node>().is_ok_and(|node| drives_pods_away(&node) || is_out_of_service(&node)),
    };
    let is_gone = snapshot.get(pod.key()).is_none();
    (concerns || is_gone || is_marked(pod)).then(|| pod.key().clone())
}

/// All pods on a node.
pub(crate) fn on_node(node: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let value = (*node.key().name).into();
    let index = IndexKey::Field { resource: PODS, field: "spec.nodeName", value };
    snapshot.index(&index).map(|pod| pod.key().clone()).collect()
}

/// Whether a node differs in what takes pods off it.
pub(crate) fn differs(before: &Object, after: &Object) -> bool {
    let (Ok(before), Ok(after)) = (before.decode::<Node>(), after.decode::<Node>()) else { return true };
    is_node_ready(&before) != is_node_ready(&after) || taints(&before).ne(taints(&after))
}
