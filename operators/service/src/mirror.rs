//! Endpoints that somebody wrote for a Service without a selector, copied into slices: who carries traffic reads slices alone.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};

use crate::endpoint::Member;
use crate::packing::{MANAGED_BY, SERVICE_NAME};

/// Who writes the slices of Services without one.
pub(crate) const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// Set to `true`, the label keeps an Endpoints object from being copied.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints that programs elect a leader by hold no endpoints.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// The most addresses of a subset that are copied.
const ADDRESSES_MAX: usize = 1000;

/// Whether an Endpoints object is to be copied.
pub(crate) fn is_wanted(endpoints: &Endpoints) -> bool {
    let meta = &endpoints.metadata;
    let skips = meta.labels.as_ref().and_then(|labels| labels.get(SKIP)).is_some_and(|value| value == "true");
    let elects = meta.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEADER));
    !skips && !elects && meta.deletion_timestamp.is_none()
}

/// The labels of the copies: those of the Endpoints, and those that tell what they are.
pub(crate) fn labels(service: &Service, endpoints: Option<&Endpoints>) -> BTreeMap<String, String> {
    let mut labels = endpoints.and_then(|endpoints| endpoints.metadata.labels.clone()).unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// The addresses of an Endpoints object as endpoints.
pub(crate) fn members(endpoints: Option<&Endpoints>) -> Vec<Member> {
    let subsets = endpoints.and_then(|endpoints| endpoints.subsets.as_ref()).into_iter().flatten();
    subsets.flat_map(of_subset).collect()
}

fn of_subset(subset: &EndpointSubset) -> Vec<Member> {
    let ports: Vec<EndpointPort> = subset.ports.iter().flatten().map(port).collect();
    let ready = subset.addresses.iter().flatten().map(|address| (address, true));
    let others = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
    ready.chain(others).take(ADDRESSES_MAX).map(|(address, is_ready)| member(address, is_ready, &ports)).collect()
}

fn member(address: &EndpointAddress, is_ready: bool, ports: &[EndpointPort]) -> Member {
    let conditions = EndpointConditions { ready: Some(is_ready), ..EndpointConditions::default() };
    Member {
        address_type: if address.ip.contains(':') { "IPv6" } else { "IPv4" },
        ports: ports.to_vec(),
        endpoint: Endpoint {
            addresses: vec![address.ip.clone()],
            conditions: Some(conditions),
            hostname: address.hostname.clone(),
            node_name: address.node_name.clone(),
            target_ref: address.target_ref.clone(),
            ..Endpoint::default()
        },
        changed: None,
    }
}

fn port(port: &k8s_openapi::api::core::v1::EndpointPort) -> EndpointPort {
    EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
    }
}
