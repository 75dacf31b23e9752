//! Which node a pod fits on, which of several it takes, and why it fits on none.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use sampan_core::object::ObjectKey;
use sampan_core::store::{ReadKey, Snapshot};
use sampan_podset::{affinity, taints};

use crate::amounts::Amounts;
use crate::company::Company;
use crate::occupants::Occupants;
use crate::plan::Refusal;
use crate::ports::HostPort;
use crate::room::Room;
use crate::spread::{Spread, Unevenness};
use crate::volumes::Claims;

/// Fitting nodes that are weighed against each other before one is taken. It bounds the cost of a placement whatever the
/// size of the cluster; smaller clusters are weighed whole.
const WEIGHED_MAX: usize = 16;
/// The same for pods that would rather be in some places than in others: as many as Kubernetes weighs.
const WEIGHED_BY_PREFERENCE_MIN: usize = 100;

/// A pod looking for a node.
pub(crate) struct Wanted<'p> {
    pod: &'p Pod,
    amounts: Amounts,
    ports: Vec<HostPort>,
    claims: &'p Claims,
    company: Company<'p>,
    spread: Spread,
    snapshot: &'p Snapshot,
}

impl<'p> Wanted<'p> {
    /// What the pod asks for, as if the pods of `without` were gone.
    pub(crate) fn of(pod: &'p Pod, claims: &'p Claims, snapshot: &'p Snapshot, without: &BTreeSet<ObjectKey>) -> Self {
        Self {
            pod,
            amounts: Amounts::asked_by(pod),
            ports: HostPort::asked_by(pod).collect(),
            claims,
            company: Company::of(pod, snapshot, without),
            spread: Spread::of(pod, snapshot, without),
            snapshot,
        }
    }

    /// How many fitting nodes of so many are weighed.
    pub(crate) fn weighed_max(&self, nodes: usize) -> usize {
        let prefers =
            self.company.has_preference() || self.spread.has_preference() || affinity::has_preference(self.pod);
        if prefers { WEIGHED_BY_PREFERENCE_MIN.max(nodes / 20) } else { WEIGHED_MAX }
    }

    /// The nodes it names, where it may go to no other.
    pub(crate) fn named_nodes(&self) -> Option<BTreeSet<&str>> {
        affinity::named_nodes(self.pod)
    }

    /// What a placement rests on, beyond its node and who is on it.
    pub(crate) fn rests_on(&self) -> Vec<ReadKey> {
        [self.company.rests_on(), self.spread.rests_on()].concat()
    }

    /// Who takes room on a node, as far as it matters.
    pub(crate) fn occupants(&self, node: &str) -> Occupants {
        self.occupants_without(node, &BTreeSet::new())
    }

    fn occupants_without(&self, node: &str, gone: &BTreeSet<ObjectKey>) -> Occupants {
        Occupants::on(node, self.pod, !self.ports.is_empty(), gone, self.snapshot)
    }

    /// Why the node would refuse it if those of `gone`, who stand there, were gone.
    pub(crate) fn refusal_without(&self, node: &Node, gone: &BTreeSet<ObjectKey>) -> Option<Refusal> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let room = Room::of(node, self.occupants_without(name, gone));
        if self.company.is_nobody() && self.spread.is_empty() {
            return self.crowded(node, &room);
        }
        Self::of(self.pod, self.claims, self.snapshot, gone).crowded(node, &room)
    }

    /// Why the pod may not go to the node, whatever stands there.
    fn barred(&self, node: &Node) -> Option<Refusal> {
        if taints::is_cordoned_for(self.pod, node) {
            return Some(Refusal::lasting("node(s) were unschedulable"));
        }
        if let Some(taint) = taints::refused_by(self.pod, node) {
            let value = taint.value.unwrap_or_default();
            return Some(Refusal::lasting(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)));
        }
        let unwanted = !affinity::admits(self.pod, node);
        unwanted.then(|| Refusal::lasting("node(s) didn't match Pod's node affinity/selector"))
    }

    /// Why it may not go to the node, with these pods on it: the first reason, in the order Kubernetes asks in.
    fn crowded(&self, node: &Node, room: &Room<'_>) -> Option<Refusal> {
        let taken = || room.pods().iter().flat_map(|pod| HostPort::asked_by(pod));
        if self.ports.iter().any(|port| taken().any(|other| port.clashes(&other))) {
            return Some(Refusal::passing("node(s) didn't have free ports for the requested pod ports"));
        }
        let shortages = room.shortages(&self.amounts);
        if !shortages.is_empty() {
            return Some(Refusal { reasons: shortages, is_lasting: room.is_too_small(&self.amounts) });
        }
        let by_claims = self.claims.refusal(node).map(Refusal::lasting);
        by_claims.or_else(|| self.spread.refusal(node)).or_else(|| self.company.refusal(node, room.pods()))
    }

    fn rank(&self, node: &Node, room: &Room<'_>, lot: u64) -> Rank {
        Rank {
            discouraging_taints: taints::discouraging(self.pod, node),
            preference: Reverse(affinity::preference(self.pod, node) + self.company.preference(node)),
            unevenness: self.spread.unevenness(node),
            siblings: room.siblings(),
            load_permille: room.load_permille(&self.amounts),
            lot,
        }
    }
}

/// How well a fitting node suits: the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    discouraging_taints: usize,
    preference: Reverse<i64>,
    unevenness: Unevenness,
    siblings: i64,
    load_permille: i64,
    lot: u64,
}

/// A search for a node: the best one found, and how many refused for which reason.
#[derive(Debug, Default, Clone)]
pub(crate) struct Search {
    best: Option<(Rank, Arc<Node>)>,
    fitting: usize,
    /// The best is the one the pod was promised.
    is_promised: bool,
    looked_at: usize,
    reasons: BTreeMap<String, usize>,
    /// Nodes that refused for who stands somewhere.
    passing: Vec<Arc<Node>>,
    /// What keeps the pod from every node.
    trouble: Option<String>,
    lots: u64,
    /// What taking the best rests on, beyond the node and who is on it.
    rests_on: Vec<ReadKey>,
}

impl Search {
    /// A search that decides between equals by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { lots: seed, ..Self::default() }
    }

    /// The node the pod takes.
    pub(crate) fn node(&self) -> Option<&str> {
        self.chosen().and_then(|node| node.metadata.name.as_deref())
    }

    /// The same, whole.
    pub(crate) fn chosen(&self) -> Option<&Arc<Node>> {
        self.best.as_ref().map(|(_, node)| node)
    }

    /// What taking it rests on, beyond the node and who is on it.
    pub(crate) fn rests_on(&self) -> &[ReadKey] {
        &self.rests_on
    }

    /// Every node was weighed that is to be.
    pub(crate) fn end(&mut self, wanted: &Wanted<'_>) {
        self.rests_on = wanted.rests_on();
    }

    /// No node of so many is looked at, and why not.
    pub(crate) fn give_up(&mut self, nodes: usize, trouble: &str) {
        self.looked_at = nodes;
        self.trouble = Some(trouble.to_owned());
    }

    /// How many nodes were looked at.
    pub(crate) fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// The nodes that refused for who stands somewhere.
    pub(crate) fn passing(&self) -> &[Arc<Node>] {
        &self.passing
    }

    /// Why there is no node, in the words of Kubernetes.
    pub(crate) fn message(&self) -> String {
        if self.looked_at == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        if let Some(trouble) = &self.trouble {
            return format!("0/{} nodes are available: {trouble}.", self.looked_at);
        }
        let mut reasons: Vec<String> = self.reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
        reasons.sort();
        format!("0/{} nodes are available: {}.", self.looked_at, reasons.join(", "))
    }

    /// The node the pod was promised is looked at before all others: others gave way there.
    pub(crate) fn try_first(&mut self, wanted: &Wanted<'_>, promised: Option<Arc<Node>>) {
        let Some(node) = promised else { return };
        let mut first = Self::new(self.lots);
        first.weigh(wanted, &node, || wanted.occupants(node.metadata.name.as_deref().unwrap_or_default()));
        if first.fitting > 0 {
            first.is_promised = true;
            *self = first;
        }
    }

    /// Whether the pod gets the node it was promised.
    pub(crate) fn is_promised(&self) -> bool {
        self.is_promised
    }

    /// How many nodes fitted.
    pub(crate) fn fitting(&self) -> usize {
        self.fitting
    }

    /// So many nodes are none the pod names.
    pub(crate) fn pass_over(&mut self, nodes: usize) {
        self.looked_at += nodes;
        if nodes > 0 {
            *self.reasons.entry("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned()).or_default() += nodes;
        }
    }

    /// Looks at a node; what stands on it is asked for only where it may matter.
    pub(crate) fn weigh(&mut self, wanted: &Wanted<'_>, node: &Arc<Node>, occupants: impl FnOnce() -> Occupants) {
        self.looked_at += 1;
        if let Some(refusal) = wanted.barred(node) {
            return self.count(refusal);
        }
        let room = Room::of(node, occupants());
        if let Some(refusal) = wanted.crowded(node, &room) {
            if !refusal.is_lasting {
                self.passing.push(node.clone());
            }
            return self.count(refusal);
        }
        self.fitting += 1;
        self.lots = next_lot(self.lots);
        let rank = wanted.rank(node, &room, self.lots);
        if self.best.as_ref().is_none_or(|(best, _)| rank < *best) {
            self.best = Some((rank, node.clone()));
        }
    }

    fn count(&mut self, refusal: Refusal) {
        for reason in refusal.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// One step of a linear congruential sequence (Knuth's MMIX constants): lots need no more.
fn next_lot(lot: u64) -> u64 {
    lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, cpu: &str, pods: &str) -> Node {
        let amounts = json!({"cpu": cpu, "memory": "1Gi", "pods": pods});
        serde_json::from_value(json!({"metadata": {"name": name}, "status": {"allocatable": amounts}})).unwrap()
    }

    fn pod(cpu: &str, extra: Value) -> Pod {
        let mut container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        for (field, value) in extra.as_object().unwrap() {
            container[field] = value.clone();
        }
        serde_json::from_value(json!({"metadata": {"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]},
            "spec": {"containers": [container]}}))
        .unwrap()
    }

    fn search(wanted: &Pod, world: Vec<(Node, Vec<Pod>)>) -> Search {
        let mut search = Search::new(7);
        for (node, pods) in world {
            let pods: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
            let (claims, snapshot) = (Claims::default(), Snapshot::default());
            search.weigh(&Wanted::of(wanted, &claims, &snapshot, &BTreeSet::new()), &Arc::new(node), || {
                Occupants::counted(pods, wanted)
            });
        }
        search
    }

    #[test]
    fn a_pod_that_fits_nowhere_says_why_of_every_node() {
        let mut cordoned = node("c", "8", "10");
        cordoned.spec = Some(serde_json::from_value(json!({"unschedulable": true})).unwrap());
        let full = vec![pod("0", json!({}))];
        let world = vec![(node("a", "1", "10"), vec![]), (node("b", "1", "1"), full), (cordoned, vec![])];
        let search = search(&pod("2", json!({})), world);
        assert_eq!(search.node(), None);
        assert_eq!(
            search.message(),
            "0/3 nodes are available: 1 Too many pods, 1 node(s) were unschedulable, 2 Insufficient cpu."
        );
        assert_eq!(Search::new(1).message(), "no nodes available to schedule pods");
    }

    #[test]
    fn what_stands_on_a_node_is_not_free() {
        let world = |cpu: &str| vec![(node("a", "2", "10"), vec![pod(cpu, json!({}))])];
        assert_eq!(search(&pod("1", json!({})), world("1")).node(), Some("a"));
        assert_eq!(search(&pod("1", json!({})), world("1001m")).node(), None);
    }

    #[test]
    fn pods_of_one_controller_are_spread_before_load_counts() {
        let world = vec![(node("small", "2", "10"), vec![]), (node("big", "64", "10"), vec![pod("1m", json!({}))])];
        assert_eq!(search(&pod("1", json!({})), world).node(), Some("small"));
        let empty = vec![(node("small", "2", "10"), vec![]), (node("big", "64", "10"), vec![])];
        assert_eq!(search(&pod("1", json!({})), empty).node(), Some("big"));
    }

    #[test]
    fn a_host_port_is_given_once() {
        let port = |address: &str| json!({"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": address}]});
        let on = |address: &str| vec![(node("a", "2", "10"), vec![pod("1m", port(address))])];
        let refused = search(&pod("1m", port("")), on("127.0.0.1"));
        assert!(refused.message().contains("1 node(s) didn't have free ports"), "{}", refused.message());
        assert_eq!(search(&pod("1m", port("127.0.0.2")), on("127.0.0.1")).node(), Some("a"));
    }

    #[test]
    fn equals_are_decided_by_lot() {
        let world =
            || (0..8).map(|index| (node(&format!("n{index}"), "2", "10"), vec![])).collect::<Vec<(Node, Vec<Pod>)>>();
        let pod = pod("1", json!({}));
        let chosen: std::collections::BTreeSet<String> = (0..64)
            .map(|seed| {
                let mut search = Search::new(seed);
                let (claims, snapshot) = (Claims::default(), Snapshot::default());
                let wanted = Wanted::of(&pod, &claims, &snapshot, &BTreeSet::new());
                for (node, _) in world() {
                    search.weigh(&wanted, &Arc::new(node), || Occupants::counted(Vec::new(), &pod));
                }
                search.node().unwrap().to_owned()
            })
            .collect();
        assert!(chosen.len() > 4, "{chosen:?}");
    }
}
