//! Why a node does not take a pod that was given to it: said once, before anything is begun for it.

use k8s_openapi::api::core::v1::PodSpec;

use super::quantity::{Requests, Shortage};
use super::spec::host_ports;
use super::{NodeFacts, Situation};

/// Why the node does not take a pod, in the words of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

const NO_PORT: &str = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";

impl Rejection {
    /// Why the pod is not taken beside `others` of its node. Whoever gave it to the node may have known better, or may not
    /// have asked. One that was taken before is not turned away later.
    pub fn of(situation: &Situation, node: &NodeFacts, others: &[&Situation]) -> Option<Self> {
        if situation.is_terminating() || situation.status().start_time.is_some() {
            return None;
        }
        let others = || others.iter().copied().filter(|other| other.takes_room());
        let (reason, why) = match shortage(situation.spec(), node, others()) {
            Some(short) if short.resource == "cpu" => ("OutOfcpu", short.to_string()),
            Some(short) => ("OutOfmemory", short.to_string()),
            None if lacks_ports(situation.spec(), others()) => ("NodePorts", NO_PORT.to_owned()),
            None => return None,
        };
        Some(Self { reason, message: format!("Pod was rejected: {why}") })
    }
}

/// Of what the node has too little left. Pods that are out of the store count no more: whoever counts by it may know of none.
fn shortage<'s>(spec: &PodSpec, node: &NodeFacts, others: impl Iterator<Item = &'s Situation>) -> Option<Shortage> {
    let used = others.filter(|other| !other.gone).map(|other| Requests::of(other.spec()));
    Requests::of(spec).shortage(used.fold(Requests::default(), std::ops::Add::add), node)
}

fn lacks_ports<'s>(spec: &PodSpec, mut others: impl Iterator<Item = &'s Situation>) -> bool {
    let asked = host_ports(spec);
    let clashes = |other: &PodSpec| host_ports(other).iter().any(|port| asked.iter().any(|own| own.clashes(port)));
    !asked.is_empty() && others.any(|other| clashes(other.spec()))
}
