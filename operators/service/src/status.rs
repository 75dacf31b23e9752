//! Where a load balancer is reached: at the nodes, which lead its ports to the endpoints.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Node, Service};

use crate::endpoint::Member;
use crate::plan::{Change, spec};

/// The type of Services that are reached from outside.
pub(crate) const LOAD_BALANCER: &str = "LoadBalancer";
/// Nodes that carry this label are not told to the outside.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The most nodes that are told: clients use one of them, and the status is read by people.
const NODES_MAX: usize = 16;

/// Whether it is ours to say where a Service is reached: one of another class is somebody else's.
pub(crate) fn is_balanced(service: &Service) -> bool {
    spec(service).is_some_and(|spec| spec.type_.as_deref() == Some(LOAD_BALANCER) && spec.load_balancer_class.is_none())
}

fn is_of_another_class(service: &Service) -> bool {
    spec(service).is_some_and(|spec| spec.load_balancer_class.is_some())
}

/// The status to write, where it does not say yet where the Service is reached.
pub(crate) fn change(service: &Service, nodes: &[Arc<Node>], members: &[Member]) -> Option<Change> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let wanted = if is_balanced(service) { ingress(service, nodes, members) } else { Vec::new() };
    let told = balancer.map(|balancer| balancer.ingress.clone().unwrap_or_default());
    if told.as_ref() == Some(&wanted) || is_of_another_class(service) {
        return None;
    }
    let mut service = service.clone();
    let ingress = (!wanted.is_empty()).then_some(wanted);
    service.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus { ingress });
    Some(Change::WriteStatus(Box::new(service)))
}

/// The addresses of nodes that are ready, in order. Where traffic stays on the node it comes to, only those with an endpoint.
fn ingress(service: &Service, nodes: &[Arc<Node>], members: &[Member]) -> Vec<LoadBalancerIngress> {
    let is_local = spec(service).and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local");
    let ready = members.iter().filter(|member| member.is_ready());
    let serving: BTreeSet<&str> = ready.filter_map(|member| member.endpoint.node_name.as_deref()).collect();
    let serves =
        |node: &&Arc<Node>| !is_local || node.metadata.name.as_deref().is_some_and(|name| serving.contains(name));
    let addresses = nodes.iter().filter(|node| is_offered(node)).filter(serves).filter_map(|node| address(node));
    let addresses: BTreeSet<&str> = addresses.collect();
    let told = addresses.into_iter().take(NODES_MAX).map(|address| LoadBalancerIngress {
        ip: Some(address.to_owned()),
        ip_mode: Some("VIP".to_owned()),
        ..LoadBalancerIngress::default()
    });
    told.collect()
}

fn is_offered(node: &Node) -> bool {
    let is_excluded = node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(EXCLUDED));
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    !is_excluded && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Where a node is reached from outside, or else from its own network.
fn address(node: &Node) -> Option<&str> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let of = |kind: &str| addresses.iter().find(|it| it.type_ == kind && !it.address.contains(':'));
    Some(of("ExternalIP").or_else(|| of("InternalIP"))?.address.as_str())
}
