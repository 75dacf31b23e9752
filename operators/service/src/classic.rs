//! The Endpoints object: all endpoints of a Service in one, as it was before there were slices.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_core::Timestamp;

use crate::endpoint::Member;
use crate::packing::TRIGGERED;
use crate::plan::{Change, HEADLESS_LABEL, Surroundings, is_headless, owner, publishes_not_ready, spec};

/// The label that says who writes the object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// Who writes those of Services with a selector.
const MANAGER: &str = "endpoint-controller";
/// The annotation of an object that does not hold all.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The most addresses it holds: it is sent as a whole for each change.
const ADDRESSES_MAX: usize = 1000;

/// Whether an object is ours, and goes once pods are no longer selected.
pub(crate) fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

/// What is to be written so that the object holds the members.
pub(crate) fn change(service: &Service, around: &Surroundings, members: &[Member]) -> Option<Change> {
    let (subsets, is_truncated) = truncated(subsets(service, members));
    let since = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let triggered = members.iter().filter_map(|member| member.changed).max().or(since);
    let marks = Marks { service, is_truncated, triggered };
    let Some(existing) = &around.endpoints else {
        let metadata = ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        };
        return Some(Change::CreateEndpoints(Endpoints { metadata: marks.on(metadata), subsets: Some(subsets) }));
    };
    (!marks.are_on(existing) || existing.subsets.clone().unwrap_or_default() != subsets).then(|| {
        let metadata = marks.on(existing.metadata.clone());
        Change::UpdateEndpoints(Endpoints { metadata, subsets: Some(subsets) })
    })
}

/// What its metadata says.
struct Marks<'s> {
    service: &'s Service,
    is_truncated: bool,
    triggered: Option<Timestamp>,
}

impl Marks<'_> {
    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.service.metadata.labels.clone().unwrap_or_default();
        labels.remove(HEADLESS_LABEL);
        if is_headless(self.service) {
            labels.insert(HEADLESS_LABEL.to_owned(), String::new());
        }
        labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
        labels
    }

    fn are_on(&self, endpoints: &Arc<Endpoints>) -> bool {
        let meta = &endpoints.metadata;
        let told = meta.annotations.as_ref().is_some_and(|it| it.contains_key(OVER_CAPACITY));
        meta.labels.as_ref() == Some(&self.labels())
            && meta.owner_references.as_ref() == Some(&vec![owner(self.service)])
            && told == self.is_truncated
    }

    fn on(&self, mut metadata: ObjectMeta) -> ObjectMeta {
        metadata.labels = Some(self.labels());
        metadata.owner_references = Some(vec![owner(self.service)]);
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.remove(OVER_CAPACITY);
        if self.is_truncated {
            annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
        }
        if let Some(triggered) = self.triggered {
            annotations.insert(TRIGGERED.to_owned(), triggered.to_string());
        }
        metadata
    }
}

/// A subset for each set of ports, with those that are ready apart from those that are not. Pods on their way out are left
/// out, unless whoever is not ready is published too.
fn subsets(service: &Service, members: &[Member]) -> Vec<EndpointSubset> {
    let has_ports = spec(service).and_then(|spec| spec.ports.as_ref()).is_some_and(|ports| !ports.is_empty());
    let listed = members.iter().filter(|member| {
        (publishes_not_ready(service) || !member.is_terminating()) && (!has_ports || !member.ports.is_empty())
    });
    let mut by_ports: Vec<(Vec<EndpointPort>, EndpointSubset)> = Vec::new();
    for member in listed {
        let ports: Vec<EndpointPort> = member.ports.iter().map(port).collect();
        let at = by_ports.iter().position(|(found, _)| *found == ports);
        let at = at.unwrap_or_else(|| {
            let named = (!ports.is_empty()).then(|| ports.clone());
            by_ports.push((ports, EndpointSubset { ports: named, ..EndpointSubset::default() }));
            by_ports.len() - 1
        });
        let Some((_, subset)) = by_ports.get_mut(at) else { continue };
        let list = if member.is_ready() { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address(member));
    }
    let mut subsets: Vec<EndpointSubset> = by_ports.into_iter().map(|(_, subset)| subset).collect();
    for subset in &mut subsets {
        for list in [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten() {
            list.sort_by(|one, other| one.ip.cmp(&other.ip));
        }
    }
    subsets.sort_by_cached_key(|subset| format!("{:?}", subset.ports));
    subsets
}

fn port(port: &k8s_openapi::api::discovery::v1::EndpointPort) -> EndpointPort {
    EndpointPort {
        app_protocol: port.app_protocol.clone(),
        name: port.name.clone().filter(|name| !name.is_empty()),
        port: port.port.unwrap_or_default(),
        protocol: port.protocol.clone(),
    }
}

fn address(member: &Member) -> EndpointAddress {
    EndpointAddress {
        ip: member.address().to_owned(),
        hostname: member.endpoint.hostname.clone(),
        node_name: member.endpoint.node_name.clone(),
        target_ref: member.endpoint.target_ref.clone(),
    }
}

/// As many addresses as the object may hold, those that are ready first; and whether some had to go.
fn truncated(mut subsets: Vec<EndpointSubset>) -> (Vec<EndpointSubset>, bool) {
    let count = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let all: usize = subsets.iter().map(|subset| count(&subset.addresses) + count(&subset.not_ready_addresses)).sum();
    if all <= ADDRESSES_MAX {
        return (subsets, false);
    }
    let mut room = ADDRESSES_MAX;
    let mut cut = |list: &mut Option<Vec<EndpointAddress>>| {
        if let Some(addresses) = list {
            addresses.truncate(room);
            room -= addresses.len();
        }
        *list = list.take().filter(|addresses| !addresses.is_empty());
    };
    subsets.iter_mut().for_each(|subset| cut(&mut subset.addresses));
    subsets.iter_mut().for_each(|subset| cut(&mut subset.not_ready_addresses));
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    (subsets, true)
}
