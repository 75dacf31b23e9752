//! What a pod is as an endpoint: its address and ports, and whether it takes connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Node, ObjectReference, Pod, PodCondition, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::plan::{publishes_not_ready, spec};

const ZONE: &str = "topology.kubernetes.io/zone";

/// An endpoint, and which slices it may be in: those of its kind of address and of its ports.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) address_type: &'static str,
    pub(crate) ports: Vec<EndpointPort>,
    pub(crate) endpoint: Endpoint,
    /// When it last turned ready or was asked to end.
    pub(crate) changed: Option<Timestamp>,
}

impl Member {
    /// Whether it takes new connections.
    pub(crate) fn is_ready(&self) -> bool {
        self.endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true)
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.endpoint.conditions.as_ref().and_then(|conditions| conditions.terminating) == Some(true)
    }

    pub(crate) fn address(&self) -> &str {
        self.endpoint.addresses.first().map(String::as_str).unwrap_or_default()
    }
}

/// The pods as endpoints, in order of their names. One that has ended or has no address yet is none.
pub(crate) fn members(service: &Service, pods: &[Arc<Pod>], nodes: &[Arc<Node>]) -> Vec<Member> {
    let zones: BTreeMap<&str, &str> = nodes.iter().filter_map(|node| zone(node)).collect();
    let mut members: Vec<Member> = pods.iter().filter_map(|pod| member(service, pod, &zones)).collect();
    let name = |member: &Member| member.endpoint.target_ref.as_ref().and_then(|target| target.name.clone());
    members.sort_by_cached_key(name);
    members
}

fn zone(node: &Node) -> Option<(&str, &str)> {
    let zone = node.metadata.labels.as_ref()?.get(ZONE)?;
    Some((node.metadata.name.as_deref()?, zone.as_str()))
}

fn member(service: &Service, pod: &Pod, zones: &BTreeMap<&str, &str>) -> Option<Member> {
    let status = pod.status.as_ref()?;
    let has_ended = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
    let ips = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(status.pod_ip.as_deref());
    let address = ips.into_iter().find(|ip| !has_ended && !ip.is_empty() && !ip.contains(':'))?;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty());
    let zone = node.as_deref().and_then(|node| zones.get(node)).map(|zone| (*zone).to_owned());
    let conditions = conditions(service, pod);
    let is_ready = conditions.ready == Some(true);
    let endpoint = Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(conditions),
        hostname: hostname(service, pod),
        hints: is_ready.then(|| hints(service, node.as_deref(), zone.as_deref())).flatten(),
        node_name: node,
        target_ref: Some(target(pod)),
        zone,
        ..Endpoint::default()
    };
    Some(Member { address_type: "IPv4", ports: ports(service, pod), endpoint, changed: changed(pod) })
}

fn conditions(service: &Service, pod: &Pod) -> EndpointConditions {
    let serving = ready_condition(pod).is_some_and(|condition| condition.status == "True");
    let terminating = pod.metadata.deletion_timestamp.is_some();
    EndpointConditions {
        ready: Some(publishes_not_ready(service) || (serving && !terminating)),
        serving: Some(serving),
        terminating: Some(terminating),
    }
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

fn changed(pod: &Pod) -> Option<Timestamp> {
    let turned = ready_condition(pod).and_then(|condition| condition.last_transition_time.as_ref());
    turned.into_iter().chain(&pod.metadata.deletion_timestamp).map(|time| time.0).max()
}

/// A pod of a governing Service has a name of its own in DNS.
fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let governed = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname.clone().filter(|hostname| governed && !hostname.is_empty())
}

fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Who is better served by this endpoint than by another, where the Service wants near ones.
fn hints(service: &Service, node: Option<&str>, zone: Option<&str>) -> Option<EndpointHints> {
    let distribution = spec(service)?.traffic_distribution.as_deref()?;
    let for_nodes =
        node.filter(|_| distribution == "PreferSameNode").map(|name| vec![ForNode { name: name.to_owned() }]);
    let for_zones = zone.map(|name| vec![ForZone { name: name.to_owned() }]);
    (for_nodes.is_some() || for_zones.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}

/// The ports of a Service on a pod. One that the pod has no container port for is left out.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = spec(service).and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let found = ports.filter_map(|port| {
        Some(EndpointPort {
            app_protocol: port.app_protocol.clone(),
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(number(port, pod)?),
            protocol: Some(protocol(port.protocol.as_ref()).to_owned()),
        })
    });
    found.collect()
}

fn protocol(protocol: Option<&String>) -> &str {
    protocol.map_or("TCP", String::as_str)
}

/// The number a port leads to; a name is looked up in the pod's containers, sidecars among them.
fn number(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let name = match port.target_port.as_ref() {
        None => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let mut offered = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let fits = |offered: &&k8s_openapi::api::core::v1::ContainerPort| {
        offered.name.as_ref() == Some(name) && protocol(offered.protocol.as_ref()) == protocol(port.protocol.as_ref())
    };
    offered.find(fits).map(|offered| offered.container_port)
}
