//! Which endpoint is in which slice: each stays where it is, and as few slices as can be are written.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::endpoint::Member;
use crate::mirror;
use crate::plan::{Change, HEADLESS_LABEL, is_headless};

/// The label that says whose endpoints a slice holds.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that says who writes a slice.
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Who writes the slices of Services with a selector.
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// When what led to the last write happened: how long clients were behind is reckoned from it.
pub(crate) const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The most endpoints in a slice: a change of one is sent to every node with all the others in its slice.
const ENDPOINTS_PER_SLICE: usize = 100;

/// What every slice of a Service has in common.
pub(crate) struct Frame {
    pub(crate) service: String,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) owner: OwnerReference,
    /// When the Service was made.
    pub(crate) since: Option<Timestamp>,
    /// Whether a slice is there even without endpoints: it says that there are none.
    pub(crate) keeps_one: bool,
}

/// The labels of the slices of a Service: its own, and those that tell what they are.
pub(crate) fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS_LABEL);
    if is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// Whether a slice is ours to write. One of an earlier Service of the name is taken over before it is collected.
pub(crate) fn is_ours(slice: &EndpointSlice) -> bool {
    let manager = slice.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    manager.is_some_and(|manager| [MANAGER, mirror::MANAGER].contains(&manager.as_str()))
        && slice.metadata.deletion_timestamp.is_none()
}

/// Endpoints that may be in one slice.
type Group = (&'static str, Vec<PortKey>);
type PortKey = (Option<String>, Option<String>, Option<i32>, Option<String>);
/// What makes an endpoint the same.
type Identity = (Vec<String>, Option<String>);

fn port_key(port: &EndpointPort) -> PortKey {
    (port.name.clone(), port.protocol.clone(), port.port, port.app_protocol.clone())
}

fn identity(endpoint: &Endpoint) -> Identity {
    (endpoint.addresses.clone(), endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()))
}

/// A slice that exists, with what it is to hold.
struct Filled<'s> {
    slice: &'s Arc<EndpointSlice>,
    members: Vec<Member>,
    differs: bool,
}

impl Filled<'_> {
    fn room(&self) -> usize {
        ENDPOINTS_PER_SLICE.saturating_sub(self.members.len())
    }

    fn take(&mut self, waiting: &mut Vec<Member>) {
        let taken = waiting.drain(..self.room().min(waiting.len()));
        self.members.extend(taken);
        self.differs = true;
    }
}

/// What is to be written so that the slices hold the members.
pub(crate) fn pack(slices: &[Arc<EndpointSlice>], members: Vec<Member>, frame: &Frame) -> Vec<Change> {
    let mut groups: BTreeMap<Group, Vec<Member>> = BTreeMap::new();
    for member in members {
        groups.entry((member.address_type, member.ports.iter().map(port_key).collect())).or_default().push(member);
    }
    let mut packing = Packing { frame, spare: Vec::new(), changes: Vec::new(), kept: 0, new: Vec::new() };
    let mut by_group: BTreeMap<(String, Vec<PortKey>), Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten().map(port_key).collect();
        by_group.entry((slice.address_type.clone(), ports)).or_default().push(slice);
    }
    for (group, members) in groups {
        let existing = by_group.remove(&(group.0.to_owned(), group.1)).unwrap_or_default();
        packing.group(existing, members);
    }
    packing.spare.extend(by_group.into_values().flatten());
    packing.finish()
}

struct Packing<'s> {
    frame: &'s Frame,
    /// Slices nothing is left in: filled anew before another is made.
    spare: Vec<&'s Arc<EndpointSlice>>,
    /// What slices are made of that there are none for yet.
    new: Vec<Vec<Member>>,
    changes: Vec<Change>,
    kept: usize,
}

impl<'s> Packing<'s> {
    fn group(&mut self, existing: Vec<&'s Arc<EndpointSlice>>, members: Vec<Member>) {
        let order: Vec<Identity> = members.iter().map(|member| identity(&member.endpoint)).collect();
        let mut wanted: BTreeMap<Identity, Member> = order.iter().cloned().zip(members).collect();
        let mut filled: Vec<Filled<'_>> = existing.into_iter().map(|slice| stay(slice, &mut wanted)).collect();
        let mut waiting: Vec<Member> = order.iter().filter_map(|identity| wanted.remove(identity)).collect();
        filled.iter_mut().filter(|it| it.differs && !it.members.is_empty()).for_each(|it| it.take(&mut waiting));
        // What is left over fits into one slice that is written for it, or into the fullest that has room.
        let remaining = waiting.len() % ENDPOINTS_PER_SLICE;
        let with_room = filled.iter_mut().filter(|it| !it.differs && it.room() >= remaining && !it.members.is_empty());
        if let Some(fullest) = with_room.max_by_key(|it| (it.members.len(), Reverse(it.slice.metadata.name.clone())))
            && remaining > 0
        {
            let mut last = waiting.split_off(waiting.len() - remaining);
            fullest.take(&mut last);
        }
        while !waiting.is_empty() {
            let rest = waiting.split_off(ENDPOINTS_PER_SLICE.min(waiting.len()));
            self.new.push(std::mem::replace(&mut waiting, rest));
        }
        for it in filled {
            self.settle(it);
        }
    }

    fn settle(&mut self, filled: Filled<'s>) {
        let Filled { slice, members, differs } = filled;
        if members.is_empty() {
            return self.spare.push(slice);
        }
        self.kept += 1;
        let is_framed = slice.metadata.labels.as_ref() == Some(&self.frame.labels)
            && slice.metadata.owner_references.as_deref() == Some(std::slice::from_ref(&self.frame.owner));
        if differs || !is_framed {
            self.changes.push(Change::UpdateSlice(self.write(Some(slice), members)));
        }
    }

    fn finish(mut self) -> Vec<Change> {
        if self.kept == 0 && self.new.is_empty() && self.frame.keeps_one {
            self.new.push(Vec::new());
        }
        for members in std::mem::take(&mut self.new) {
            let address_type = members.first().map_or("IPv4", |member| member.address_type);
            let spare = self.spare.iter().position(|slice| slice.address_type == address_type);
            match spare.map(|at| self.spare.remove(at)) {
                Some(slice) if self.is_as_wanted(slice, &members) => {}
                Some(slice) => self.changes.push(Change::UpdateSlice(self.write(Some(slice), members))),
                None => self.changes.push(Change::CreateSlice(self.write(None, members))),
            }
        }
        self.changes.extend(self.spare.into_iter().cloned().map(Change::DeleteSlice));
        self.changes
    }

    /// Whether a slice without endpoints already is the one that is to be kept.
    fn is_as_wanted(&self, slice: &EndpointSlice, members: &[Member]) -> bool {
        members.is_empty()
            && slice.endpoints.is_empty()
            && slice.ports.iter().flatten().next().is_none()
            && slice.metadata.labels.as_ref() == Some(&self.frame.labels)
            && slice.metadata.owner_references.as_deref() == Some(std::slice::from_ref(&self.frame.owner))
    }

    fn write(&self, slice: Option<&EndpointSlice>, mut members: Vec<Member>) -> EndpointSlice {
        members.sort_by_cached_key(|member| order(&member.endpoint));
        let mut metadata = slice.map_or_else(|| self.metadata(), |slice| slice.metadata.clone());
        metadata.labels = Some(self.frame.labels.clone());
        metadata.owner_references = Some(vec![self.frame.owner.clone()]);
        let triggered = members.iter().filter_map(|member| member.changed).max().or(self.frame.since);
        if let Some(triggered) = triggered {
            metadata.annotations.get_or_insert_default().insert(TRIGGERED.to_owned(), triggered.to_string());
        }
        let first = members.first();
        EndpointSlice {
            metadata,
            address_type: first.map_or("IPv4", |member| member.address_type).to_owned(),
            ports: Some(first.map(|member| member.ports.clone()).unwrap_or_default()),
            endpoints: members.into_iter().map(|member| member.endpoint).collect(),
        }
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            generate_name: Some(format!("{}-", self.frame.service)),
            namespace: Some(self.frame.namespace.clone()),
            ..ObjectMeta::default()
        }
    }
}

/// Endpoints stand in a slice by the names of their pods, so that it looks the same however it came about.
fn order(endpoint: &Endpoint) -> (Option<String>, Vec<String>) {
    (endpoint.target_ref.as_ref().and_then(|target| target.name.clone()), endpoint.addresses.clone())
}

/// A slice with those of its endpoints that are still wanted.
fn stay<'s>(slice: &'s Arc<EndpointSlice>, wanted: &mut BTreeMap<Identity, Member>) -> Filled<'s> {
    let mut members: Vec<Member> =
        slice.endpoints.iter().filter_map(|endpoint| wanted.remove(&identity(endpoint))).collect();
    // A slice may have been filled by others with more than we put into one.
    for beyond in members.split_off(ENDPOINTS_PER_SLICE.min(members.len())) {
        wanted.insert(identity(&beyond.endpoint), beyond);
    }
    let differs = members.len() != slice.endpoints.len()
        || members.iter().zip(&slice.endpoints).any(|(member, endpoint)| member.endpoint != *endpoint);
    Filled { slice, members, differs }
}
