//! Who takes room on a node, or is promised some.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::{PODS, SHUNNING, has_lower, siblings};
use sampan_core::store::{IndexKey, PLACE, Snapshot, Sums};

use crate::amounts::Amounts;
use crate::term::stands;

pub(crate) const NOMINATED: &str = "status.nominatedNodeName";

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
    /// What the store has summed up of those who stand there.
    standing: Option<Arc<Sums>>,
    /// What of it is left aside.
    aside: Sums,
    /// What is taken on top of it.
    more: Amounts,
    /// By how many pods.
    by: i64,
}

impl Taken {
    /// So much is taken of a resource.
    pub(crate) fn get(&self, resource: &str) -> i64 {
        self.standing(resource).saturating_add(self.more.get(resource))
    }

    /// By so many pods.
    pub(crate) fn pods(&self) -> i64 {
        self.standing("pods").saturating_add(self.by)
    }

    /// What those who stand there amount to in a sum of theirs.
    fn standing(&self, name: &str) -> i64 {
        let standing = self.standing.as_ref().map_or(0, |sums| sums.get(name));
        standing.saturating_sub(self.aside.get(name))
    }
}

impl Occupants {
    /// What is known of a node's pods without looking at each, as if those of `gone` were: `closely` looks at them all the same.
    pub(crate) fn on(node: &str, pod: &Pod, closely: bool, gone: &BTreeSet<ObjectKey>, snapshot: &Snapshot) -> Self {
        let promised = promised_before(pod, node, snapshot);
        let shares = gone.iter().filter_map(|key| snapshot.get(key)?.share()).filter(|share| share.of() == node);
        let taken = Taken {
            standing: snapshot.sums(PODS, node).cloned(),
            aside: shares.flat_map(|share| share.amounts().map(|(name, amount)| (name.to_owned(), amount))).collect(),
            more: all_of(&promised),
            by: count(&promised),
        };
        let is_looked_at = closely || taken.standing(SHUNNING) > 0;
        let mut pods = if is_looked_at { standing_on(node, gone, snapshot) } else { Vec::new() };
        pods.extend(promised);
        let siblings = controller(pod).map_or(0, |controller| taken.standing(&siblings(controller)));
        Self { taken, siblings, pods }
    }

    /// The same of pods that are all there are.
    #[cfg(test)]
    pub(crate) fn counted(pods: Vec<Arc<Pod>>, pod: &Pod) -> Self {
        let of_same = |other: &&Arc<Pod>| controller(pod).is_some() && controller(other) == controller(pod);
        let siblings = i64::try_from(pods.iter().filter(of_same).count()).unwrap_or(i64::MAX);
        let taken = Taken { standing: None, aside: Sums::default(), more: all_of(&pods), by: count(&pods) };
        Self { taken, siblings, pods }
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

/// Those on a node who are less important than `pod`; nobody is looked at where there are none.
pub(crate) fn lower_on(node: &str, pod: &Pod, snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    if !snapshot.sums(PODS, node).is_some_and(|sums| has_lower(sums, priority(pod))) {
        return Vec::new();
    }
    let mut pods = standing_on(node, &BTreeSet::new(), snapshot);
    pods.retain(|other| priority(other) < priority(pod));
    pods
}

fn standing_on(node: &str, gone: &BTreeSet<ObjectKey>, snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let standing = snapshot.index(&on_node(node)).filter(|other| stands(other) && !gone.contains(other.key()));
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
