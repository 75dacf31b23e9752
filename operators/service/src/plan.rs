//! A Service and what it is told of, and what that asks to be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sampan_core::operator::{Kind as _, Refused};

use crate::packing::Frame;
use crate::{classic, endpoint, mirror, packing, status};

/// The address of a Service that has none on purpose.
const HEADLESS: &str = "None";
/// Marks what belongs to a Service without an address: clients are told every endpoint.
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// Where the endpoints of a Service come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is being deleted.
    Leaving,
    /// It stands for a name elsewhere.
    Referring,
    /// Nobody lists them where we look.
    Unattached,
    /// From an Endpoints object somebody wrote.
    Mirrored,
    /// From the pods it selects.
    Selecting,
}

/// Something that is to be written.
#[derive(Debug, Clone)]
pub enum Change {
    /// A slice more.
    CreateSlice(EndpointSlice),
    /// A slice with other endpoints, ports or labels.
    UpdateSlice(EndpointSlice),
    /// A slice too many.
    DeleteSlice(Arc<EndpointSlice>),
    /// The Endpoints object.
    CreateEndpoints(Endpoints),
    /// The Endpoints object with other addresses or labels.
    UpdateEndpoints(Endpoints),
    /// The Endpoints object, which is ours and no longer wanted.
    DeleteEndpoints(Arc<Endpoints>),
    /// The status: where a load balancer is reached.
    WriteStatus(Box<Service>),
}

/// What there is beside the Service itself.
pub(crate) struct Surroundings {
    /// The slices that name it, whoever made them.
    pub(crate) slices: Vec<Arc<EndpointSlice>>,
    /// The Endpoints object of its name.
    pub(crate) endpoints: Option<Arc<Endpoints>>,
    /// The pods it selects.
    pub(crate) pods: Vec<Arc<Pod>>,
    /// The nodes of its pods; for a load balancer all.
    pub(crate) nodes: Vec<Arc<Node>>,
}

/// One look at a Service.
pub struct View {
    pub(crate) role: Role,
    /// How many pods it selects.
    pub(crate) selected: usize,
    /// How many endpoints take new connections.
    pub(crate) ready: usize,
    /// What is not as it should be.
    pub(crate) changes: Vec<Change>,
    /// What the gateway has just refused.
    pub(crate) refused: Option<Refused>,
}

impl View {
    pub(crate) fn new(service: Arc<Service>, around: Surroundings, refused: Option<Refused>) -> Self {
        let role = role(&service, around.endpoints.as_deref());
        let mut view = Self { role, selected: around.pods.len(), ready: 0, changes: Vec::new(), refused };
        if role == Role::Leaving {
            return view;
        }
        let members = match role {
            Role::Selecting => endpoint::members(&service, &around.pods, &around.nodes),
            Role::Mirrored => mirror::members(around.endpoints.as_deref()),
            _ => Vec::new(),
        };
        view.ready = members.iter().filter(|member| member.is_ready()).count();
        if role == Role::Selecting {
            view.changes.extend(classic::change(&service, &around, &members));
        } else if let Some(left) = around.endpoints.as_ref().filter(|found| classic::is_ours(found)) {
            view.changes.push(Change::DeleteEndpoints(left.clone()));
        }
        view.changes.extend(status::change(&service, &around.nodes, &members));
        let frame = frame(role, &service, around.endpoints.as_deref());
        let own: Vec<Arc<EndpointSlice>> = around.slices.into_iter().filter(|slice| packing::is_ours(slice)).collect();
        view.changes.extend(packing::pack(&own, members, &frame));
        view
    }

    /// What is asked for now. Slices and the Endpoints object are created in steps of their own, so that the refusal of one
    /// does not keep the other away.
    pub(crate) fn next(&self) -> Vec<Change> {
        let creates_slices = self.changes.iter().any(|change| matches!(change, Change::CreateSlice(_)));
        let refused = self.refused.as_ref().map(|refused| refused.resource);
        let (slices, endpoints) = match refused {
            None => (true, !creates_slices),
            Some(resource) => (false, resource == EndpointSlice::RESOURCE),
        };
        let is_next = |change: &&Change| match change {
            Change::CreateSlice(_) => slices,
            Change::CreateEndpoints(_) => endpoints,
            _ => true,
        };
        self.changes.iter().filter(is_next).cloned().collect()
    }
}

fn role(service: &Service, endpoints: Option<&Endpoints>) -> Role {
    let is_external = spec(service).and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
    let listed = endpoints.filter(|found| !classic::is_ours(found));
    match selector(service) {
        _ if service.metadata.deletion_timestamp.is_some() => Role::Leaving,
        _ if is_external => Role::Referring,
        Some(_) => Role::Selecting,
        None if listed.is_some_and(mirror::is_wanted) => Role::Mirrored,
        None => Role::Unattached,
    }
}

/// What every slice of the Service has in common.
fn frame(role: Role, service: &Service, endpoints: Option<&Endpoints>) -> Frame {
    let owner = owner(service);
    let meta = |name: Option<&String>| name.cloned().unwrap_or_default();
    Frame {
        service: meta(service.metadata.name.as_ref()),
        namespace: meta(service.metadata.namespace.as_ref()),
        labels: match role {
            Role::Mirrored => mirror::labels(service, endpoints),
            _ => packing::labels(service),
        },
        owner,
        since: service.metadata.creation_timestamp.as_ref().map(|time| time.0),
        keeps_one: role == Role::Selecting,
    }
}

pub(crate) fn owner(service: &Service) -> OwnerReference {
    OwnerReference {
        api_version: Service::API_VERSION.to_owned(),
        kind: Service::KIND.to_owned(),
        name: service.metadata.name.clone().unwrap_or_default(),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub(crate) fn spec(service: &Service) -> Option<&ServiceSpec> {
    service.spec.as_ref()
}

/// The labels it selects pods by; `None` where it selects none.
pub(crate) fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = spec(service).filter(|spec| spec.type_.as_deref() != Some("ExternalName"))?;
    spec.selector.as_ref().filter(|labels| !labels.is_empty())
}

pub(crate) fn is_headless(service: &Service) -> bool {
    spec(service).and_then(|spec| spec.cluster_ip.as_deref()).is_none_or(|address| ["", HEADLESS].contains(&address))
}

pub(crate) fn publishes_not_ready(service: &Service) -> bool {
    spec(service).and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}
