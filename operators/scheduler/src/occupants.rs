//! Who takes room on a node, or is promised some.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_core::object::Object;
use sampan_core::resource::{PODS, SHUNNING, siblings};
use sampan_core::store::{IndexKey, PLACE, Snapshot, Sums};

use crate::amounts::Amounts;
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

/// Who takes room on a node, as far as it matters to a pod that may come.
pub(crate) struct Occupants {
    pub(crate) taken: Taken,
    /// How many are of the pod's own controller.
    pub(crate) siblings: i64,
    /// Those whose ports or whose terms may keep the pod off; nobody where there are none of either.
    pub(crate) pods: Vec<Arc<Pod>>,
}

/// What pods take of a node.
pub(crate) struct Taken {
    /// What the store has summed up.
    sums: Option<Arc<Sums>>,
    /// What is taken on top of it.
    more: Amounts,
    /// By how many pods.
    by: i64,
}

impl Taken {
    /// So much is taken of a resource.
    pub(crate) fn get(&self, resource: &str) -> i64 {
        let summed = self.sums.as_ref().map_or(0, |sums| sums.get(resource));
        summed.saturating_add(self.more.get(resource))
    }

    /// By so many pods.
    pub(crate) fn pods(&self) -> i64 {
        self.sums.as_ref().map_or(0, |sums| sums.get("pods")).saturating_add(self.by)
    }
}

impl Occupants {
    /// What is known of a node's pods without looking at each: `closely` looks at them all the same.
    pub(crate) fn on(node: &str, pod: &Pod, closely: bool, snapshot: &Snapshot) -> Self {
        let sums = snapshot.sums(PODS, node).cloned();
        let promised = promised_before(pod, node, snapshot);
        let sum = |name: &str| sums.as_ref().map_or(0, |sums| sums.get(name));
        let mut pods = if closely || sum(SHUNNING) > 0 { standing_on(node, snapshot) } else { Vec::new() };
        pods.extend(promised.iter().cloned());
        let siblings = controller(pod).map_or(0, |controller| sum(&siblings(controller)));
        let taken = Taken { more: all_of(&promised), by: count(&promised), sums: sums.clone() };
        Self { taken, siblings, pods }
    }

    /// The same of pods that are all there are.
    pub(crate) fn counted(pods: Vec<Arc<Pod>>, pod: &Pod) -> Self {
        let of_same = |other: &&Arc<Pod>| controller(pod).is_some() && controller(other) == controller(pod);
        let siblings = i64::try_from(pods.iter().filter(of_same).count()).unwrap_or(i64::MAX);
        Self { taken: Taken { sums: None, more: all_of(&pods), by: count(&pods) }, siblings, pods }
    }
}

fn all_of(pods: &[Arc<Pod>]) -> Amounts {
    let mut all = Amounts::default();
    pods.iter().for_each(|pod| all.add(&Amounts::asked_by(pod)));
    all
}

fn count(pods: &[Arc<Pod>]) -> i64 {
    i64::try_from(pods.len()).unwrap_or(i64::MAX)
}

fn controller(pod: &Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

/// The pods that take room on a node from `pod`: those that stand there, and those no less important that were promised it.
pub(crate) fn everybody_on(node: &str, pod: &Pod, snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let mut pods = standing_on(node, snapshot);
    pods.extend(promised_before(pod, node, snapshot));
    pods
}

fn standing_on(node: &str, snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let standing = snapshot.index(&on_node(node)).filter(|other| stands(other));
    standing.filter_map(|other| other.decode::<Pod>().ok()).collect()
}

fn promised_before(pod: &Pod, node: &str, snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let promised = snapshot.index(&nominated_for(node)).filter(|other| is_promised(other));
    let promised = promised.filter_map(|other| other.decode::<Pod>().ok());
    let own = pod.metadata.uid.as_deref();
    promised.filter(|other| other.metadata.uid.as_deref() != own && priority(other) >= priority(pod)).collect()
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
