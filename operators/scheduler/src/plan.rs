//! Which node a pod fits on, which of several it takes, and why it fits on none.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerPort, Node, Pod};
use sampan_core::Timestamp;
use sampan_podset::{affinity, taints};

use crate::amounts::Amounts;
use crate::volumes::Claims;

/// A pod, as its machine sees it.
pub struct View {
    pub(crate) pod: Arc<Pod>,
    /// What came of looking for a node, where it needs one.
    pub(crate) search: Search,
    /// What its claims say of where it may run.
    pub(crate) claims: Claims,
    pub(crate) now: Timestamp,
}

/// Whether a pod is to be placed now.
pub(crate) fn needs_node(pod: &Pod) -> bool {
    !is_placed(pod) && !is_withdrawn(pod) && !is_gated(pod)
}

pub(crate) fn is_placed(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

pub(crate) fn is_withdrawn(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

pub(crate) fn is_gated(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref()).is_some_and(|gates| !gates.is_empty())
}

/// A pod looking for a node.
pub(crate) struct Wanted<'p> {
    pod: &'p Pod,
    amounts: Amounts,
    ports: Vec<HostPort>,
    controller: Option<&'p str>,
    claims: &'p Claims,
}

/// A node, and the pods that take room on it.
pub(crate) struct Candidate {
    pub(crate) node: Arc<Node>,
    pub(crate) pods: Vec<Arc<Pod>>,
}

/// A port of the node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPort {
    port: i32,
    protocol: String,
    address: String,
}

impl<'p> Wanted<'p> {
    pub(crate) fn of(pod: &'p Pod, claims: &'p Claims) -> Self {
        let (ports, controller) = (host_ports(pod).collect(), controller(pod));
        Self { pod, amounts: Amounts::asked_by(pod), ports, controller, claims }
    }
}

fn controller(pod: &Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.flat_map(|container| container.ports.iter().flatten()).filter_map(host_port)
}

fn host_port(port: &ContainerPort) -> Option<HostPort> {
    let number = port.host_port.filter(|number| *number > 0)?;
    Some(HostPort {
        port: number,
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        address: port.host_ip.clone().filter(|address| !address.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned()),
    })
}

impl HostPort {
    fn clashes(&self, other: &Self) -> bool {
        let everywhere = |port: &Self| port.address == "0.0.0.0";
        let address = everywhere(self) || everywhere(other) || self.address == other.address;
        address && self.port == other.port && self.protocol == other.protocol
    }
}

/// How well a fitting node suits: the least is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    discouraging_taints: usize,
    preference: Reverse<i64>,
    siblings: usize,
    load_permille: i64,
    lot: u64,
}

/// A search for a node: the best one found, and how many refused for which reason.
#[derive(Debug, Default, Clone)]
pub(crate) struct Search {
    best: Option<(Rank, Arc<Node>)>,
    fitting: usize,
    looked_at: usize,
    reasons: BTreeMap<String, usize>,
    /// What keeps the pod from every node.
    trouble: Option<String>,
    lots: u64,
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

    /// No node of so many is looked at, and why not.
    pub(crate) fn give_up(&mut self, nodes: usize, trouble: &str) {
        self.looked_at = nodes;
        self.trouble = Some(trouble.to_owned());
    }

    /// How many nodes fitted.
    pub(crate) fn fitting(&self) -> usize {
        self.fitting
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

    /// Looks at a node; what stands on it is asked for only where it may matter.
    pub(crate) fn weigh(&mut self, wanted: &Wanted<'_>, node: &Node, filled: impl FnOnce(&str) -> Candidate) {
        self.looked_at += 1;
        if let Some(reason) = refusal(wanted.pod, node).or_else(|| wanted.claims.refusal(node).map(str::to_owned)) {
            return self.count(vec![reason]);
        }
        let candidate = filled(node.metadata.name.as_deref().unwrap_or_default());
        let room = Room::of(&candidate);
        let shortages = room.shortages(wanted, &candidate);
        if !shortages.is_empty() {
            return self.count(shortages);
        }
        self.fitting += 1;
        let rank = self.rank(wanted, &candidate, &room);
        if self.best.as_ref().is_none_or(|(best, _)| rank < *best) {
            self.best = Some((rank, candidate.node));
        }
    }

    fn count(&mut self, reasons: Vec<String>) {
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    fn rank(&mut self, wanted: &Wanted<'_>, candidate: &Candidate, room: &Room) -> Rank {
        let of_same = |pod: &&Arc<Pod>| wanted.controller.is_some() && controller(pod) == wanted.controller;
        self.lots = next_lot(self.lots);
        Rank {
            discouraging_taints: taints::discouraging(wanted.pod, &candidate.node),
            preference: Reverse(affinity::preference(wanted.pod, &candidate.node)),
            siblings: candidate.pods.iter().filter(of_same).count(),
            load_permille: room.load_permille(&wanted.amounts),
            lot: self.lots,
        }
    }
}

/// One step of a linear congruential sequence (Knuth's MMIX constants): lots need no more.
fn next_lot(lot: u64) -> u64 {
    lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// Why a node refuses a pod, whatever stands on it.
fn refusal(pod: &Pod, node: &Node) -> Option<String> {
    if taints::is_cordoned_for(pod, node) {
        return Some("node(s) were unschedulable".to_owned());
    }
    if let Some(taint) = taints::refused_by(pod, node) {
        let value = taint.value.unwrap_or_default();
        return Some(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key));
    }
    let unwanted = !affinity::admits(pod, node);
    unwanted.then(|| "node(s) didn't match Pod's node affinity/selector".to_owned())
}

/// What a node has and what of it is taken.
struct Room {
    has: Amounts,
    taken: Amounts,
}

impl Room {
    fn of(candidate: &Candidate) -> Self {
        let status = candidate.node.status.as_ref();
        let has = Amounts::of(status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref())));
        let mut taken = Amounts::default();
        for pod in &candidate.pods {
            taken.add(&Amounts::asked_by(pod));
        }
        Self { has, taken }
    }

    fn shortages(&self, wanted: &Wanted<'_>, candidate: &Candidate) -> Vec<String> {
        let mut shortages = Vec::new();
        let pods_max = usize::try_from(self.has.get("pods")).unwrap_or_default();
        if candidate.pods.len() >= pods_max {
            shortages.push("Too many pods".to_owned());
        }
        let asked = wanted.amounts.iter().filter(|(_, amount)| *amount > 0);
        let short = asked.filter(|(name, amount)| self.taken.get(name).saturating_add(*amount) > self.has.get(name));
        shortages.extend(short.map(|(name, _)| format!("Insufficient {name}")));
        let taken = || candidate.pods.iter().flat_map(|pod| host_ports(pod));
        if wanted.ports.iter().any(|port| taken().any(|other| port.clashes(&other))) {
            shortages.push("node(s) didn't have free ports for the requested pod ports".to_owned());
        }
        shortages
    }

    /// How full the node would be, of its scarcer resource, in thousandths.
    fn load_permille(&self, asked: &Amounts) -> i64 {
        let load = |name: &str| {
            let taken = i128::from(self.taken.get(name)) + i128::from(asked.get(name));
            i64::try_from(taken * 1000 / i128::from(self.has.get(name).max(1))).unwrap_or(i64::MAX)
        };
        load("cpu").max(load("memory"))
    }
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
            let node = Arc::new(node);
            search.weigh(&Wanted::of(wanted, &Claims::default()), &node, |_| Candidate { node: node.clone(), pods });
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
        let wanted = pod("1", json!({}));
        let chosen: std::collections::BTreeSet<String> = (0..64)
            .map(|seed| {
                let mut search = Search::new(seed);
                for (node, _) in world() {
                    let node = Arc::new(node);
                    search.weigh(&Wanted::of(&wanted, &Claims::default()), &node, |_| Candidate {
                        node: node.clone(),
                        pods: vec![],
                    });
                }
                search.node().unwrap().to_owned()
            })
            .collect();
        assert!(chosen.len() > 4, "{chosen:?}");
    }
}
