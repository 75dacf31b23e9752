//! How evenly pods are to stand in the domains of a cluster (`topologySpreadConstraints`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, TopologySpreadConstraint};
use sampan_core::object::{Name, Object, ObjectKey};
use sampan_core::resource::NODES;
use sampan_core::resource::pod::company::HOSTNAME;
use sampan_core::store::{PLACE, ReadKey, Snapshot};
use sampan_podset::{affinity, taints};

use crate::plan::Refusal;
use crate::term::{Meant, namespace};

/// What a pod says of evenness, held against the pods there are: taken once for all nodes.
pub(crate) struct Spread {
    /// What must hold.
    hard: Vec<Counted>,
    /// What should.
    soft: Vec<Counted>,
}

/// A constraint and how many stand in each domain of it.
struct Counted {
    topology_key: String,
    skew_max: i64,
    /// The pod itself is of those counted.
    adds: i64,
    least: i64,
    by_domain: BTreeMap<Name, i64>,
    meant: Meant,
}

/// How uneven the placement would be: nodes outside the domains first count as worst, then how many are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unevenness {
    missing: usize,
    there: i64,
}

impl Spread {
    /// What `pod` says, as if those of `without` were gone. A pod that says nothing costs nothing.
    pub(crate) fn of(pod: &Pod, snapshot: &Snapshot, without: &BTreeSet<ObjectKey>) -> Self {
        let constraints = pod.spec.iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
        let (hard, soft): (Vec<_>, Vec<_>) = constraints.partition(|it| it.when_unsatisfiable == "DoNotSchedule");
        let counted = |all: &[&TopologySpreadConstraint]| {
            let keys: Vec<&str> = all.iter().map(|it| &*it.topology_key).collect();
            all.iter().map(|it| Counted::of(it, &keys, pod, snapshot, without)).collect()
        };
        Self { hard: counted(&hard), soft: counted(&soft) }
    }

    /// Why the pod may not go to the node.
    pub(crate) fn refusal(&self, node: &Node) -> Option<Refusal> {
        for counted in &self.hard {
            let Some(domain) = label(node, &counted.topology_key) else {
                return Some(Refusal::lasting(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let there = counted.by_domain.get(&**domain).copied().unwrap_or_default();
            if there + counted.adds - counted.least > counted.skew_max {
                return Some(Refusal::passing("node(s) didn't match pod topology spread constraints"));
            }
        }
        None
    }

    /// How uneven it would be on the node, by what should hold.
    pub(crate) fn unevenness(&self, node: &Node) -> Unevenness {
        let mut unevenness = Unevenness::default();
        for counted in &self.soft {
            match label(node, &counted.topology_key) {
                Some(domain) => unevenness.there += counted.by_domain.get(&**domain).copied().unwrap_or_default(),
                None => unevenness.missing += 1,
            }
        }
        unevenness
    }

    /// Whether nothing must hold.
    pub(crate) fn is_empty(&self) -> bool {
        self.hard.is_empty()
    }

    /// Whether it would rather be in some domains than in others.
    pub(crate) fn has_preference(&self) -> bool {
        !self.soft.is_empty()
    }

    /// What a placement rests on, beyond who is on the node: one more in its domain. One more elsewhere makes it only more
    /// even, and one less anywhere could as well have left later.
    pub(crate) fn rests_on(&self) -> Vec<ReadKey> {
        let wide = self.hard.iter().filter(|counted| counted.topology_key != HOSTNAME);
        wide.flat_map(|counted| counted.meant.placements()).collect()
    }
}

impl Counted {
    fn of(
        constraint: &TopologySpreadConstraint,
        keys: &[&str],
        pod: &Pod,
        snapshot: &Snapshot,
        without: &BTreeSet<ObjectKey>,
    ) -> Self {
        let meant = Meant::within(namespace(pod), constraint.label_selector.as_ref());
        let labels = pod.metadata.labels.iter().flatten();
        let labels = labels.map(|(label, value)| (label.as_str().into(), value.as_str().into())).collect();
        let mut counted = Self {
            topology_key: constraint.topology_key.clone(),
            skew_max: i64::from(constraint.max_skew),
            adds: i64::from(meant.means(namespace(pod), &labels, snapshot)),
            least: 0,
            by_domain: BTreeMap::new(),
            meant,
        };
        counted.count(constraint, keys, pod, snapshot, without);
        let domains_min = usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap_or(1);
        let least = counted.by_domain.values().min().copied().unwrap_or_default();
        counted.least = if counted.by_domain.len() < domains_min { 0 } else { least };
        counted
    }

    /// Nodes the pod could not go to anyway make no domain, where the constraint says so; nor does one that lacks the label
    /// of any of its constraints.
    fn count(
        &mut self,
        constraint: &TopologySpreadConstraint,
        keys: &[&str],
        pod: &Pod,
        snapshot: &Snapshot,
        without: &BTreeSet<ObjectKey>,
    ) {
        let mut by_node: BTreeMap<&str, i64> = BTreeMap::new();
        let is_there = |pod: &&Arc<Object>| !pod.metadata().is_terminating() && !without.contains(pod.key());
        for other in self.meant.standing(snapshot).into_iter().filter(is_there) {
            *by_node.entry(other.field(PLACE).unwrap_or_default()).or_default() += 1;
        }
        for node in snapshot.list(NODES, None, None) {
            let labels = &node.metadata().labels;
            let Some(domain) = labels.get(&*self.topology_key) else { continue };
            if keys.iter().all(|key| labels.contains_key(*key)) && counts(constraint, pod, node) {
                let there = by_node.get(&*node.key().name).copied().unwrap_or_default();
                *self.by_domain.entry(domain.clone()).or_default() += there;
            }
        }
    }
}

fn counts(constraint: &TopologySpreadConstraint, pod: &Pod, node: &Object) -> bool {
    let honors_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
    let honors_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    let Ok(node) = node.decode::<Node>() else { return false };
    (!honors_affinity || affinity::admits(pod, &node))
        && (!honors_taints || !taints::stands_against(pod, &node, &["NoSchedule", "NoExecute"]))
}

fn label<'n>(node: &'n Node, name: &str) -> Option<&'n String> {
    node.metadata.labels.as_ref()?.get(name)
}
