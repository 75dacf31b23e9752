//! Why a node does not take a pod that was given to it: said once, before anything is begun for it.

use k8s_openapi::api::core::v1::PodSpec;

use super::Situation;
use super::spec::host_ports;

/// Why the node does not take a pod, in the words of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: &'static str,
}

const NO_PORT: Rejection = Rejection {
    reason: "NodePorts",
    message: "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
};

impl Rejection {
    /// Why the pod is not taken beside `others` of its node. Whoever gave it to the node may have known better, or may not
    /// have asked. One that was taken before is not turned away later.
    pub fn of<'s>(situation: &Situation, others: impl Iterator<Item = &'s Situation>) -> Option<Self> {
        let asked = host_ports(situation.spec());
        if asked.is_empty() || situation.is_terminating() || situation.status().start_time.is_some() {
            return None;
        }
        let mut others = others.filter(|other| other.takes_room());
        let clashes = |other: &PodSpec| host_ports(other).iter().any(|port| asked.iter().any(|own| own.clashes(port)));
        others.any(|other| clashes(other.spec())).then_some(NO_PORT)
    }
}
