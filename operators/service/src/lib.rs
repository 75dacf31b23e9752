//! Services: where the pods of each are reached.
//!
//! The endpoints of a Service with a selector are the pods it selects, told in EndpointSlices of at most a hundred each and,
//! for older clients, in one Endpoints object. Of a Service without a selector whoever lists its endpoints says where they are;
//! an Endpoints object of theirs is copied into slices. A load balancer is reached at the nodes.
//!
//! Addresses and node ports are given out in the gateway, not here.

mod classic;
#[cfg(feature = "conformance")]
pub mod conformance;
mod endpoint;
mod machine;
mod mirror;
mod packing;
mod plan;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::selector::{Operator as LabelOperator, Requirement, Selector};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, EventKind, Guarding, Kind as _, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::service::{SELECTS, selecting};
use sampan_core::store::{IndexKey, ReadKey, Snapshot};
use sampan_machine::Chart;

pub use machine::ServiceMachine;
use packing::SERVICE_NAME;
use plan::{Change, Surroundings, View};

/// The operator of Services.
#[derive(Debug, Clone)]
pub struct ServiceOperator;

impl Operator for ServiceOperator {
    type Machine = ServiceMachine;

    fn chart(&self) -> &'static Chart {
        ServiceMachine::chart()
    }

    fn machine(&self) -> ServiceMachine {
        ServiceMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<Service>("service")
            .watching::<Pod>(Mapping::function(selecting_services))
            .watching::<Node>(Mapping::function(services_on))
            .watching::<Endpoints>(Mapping::function(|object, _| vec![named_alike(object)]))
            .watching::<EndpointSlice>(Mapping::function(|object, _| served(object).into_iter().collect()))
            .writing::<Service>(WriteVerb::UpdateStatus);
        for verb in [WriteVerb::Create, WriteVerb::Update, WriteVerb::Delete] {
            declaration = declaration.writing::<Endpoints>(verb).writing::<EndpointSlice>(verb);
        }
        declaration.guarding = Guarding::Decisive {
            because: "endpoints are derived of pods and nodes as a status is: each change of one wakes the Service again, and \
                      among thousands of pods there is always one that changes",
        };
        declaration
    }

    fn step(&self, machine: &mut ServiceMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, changes) = cx.observe(machine, view);
        view.wait(cx.trace());
        for change in changes {
            carry_out(change, cx);
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let service = cx.primary::<Service>()?;
    let key = cx.key().clone();
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let endpoints_key = ObjectKey { resource: Endpoints::RESOURCE, ..key.clone() };
    let named = IndexKey::Label {
        resource: EndpointSlice::RESOURCE,
        namespace: key.namespace.clone(),
        label: SERVICE_NAME.into(),
        value: key.name.clone(),
    };
    for read in [ReadKey::Object(key.clone()), ReadKey::Object(endpoints_key.clone()), ReadKey::Index(named)] {
        cx.rests_on(read);
    }
    let slices = cx.matching::<EndpointSlice>(namespace, &carrying([(SERVICE_NAME, &*key.name)]));
    let endpoints = cx.get::<Endpoints>(&endpoints_key);
    let pods = match plan::selector(&service) {
        Some(labels) => {
            let pairs = labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
            cx.matching::<Pod>(namespace, &carrying(pairs))
        }
        None => Vec::new(),
    };
    let balanced = status::is_balanced(&service);
    let nodes = if balanced { cx.list::<Node>(None) } else { nodes_of(&pods, cx) };
    let refused = cx.refusal().cloned();
    Some(View::new(service, Surroundings { slices, endpoints, pods, nodes }, refused))
}

/// The nodes of pods, each once.
fn nodes_of(pods: &[Arc<Pod>], cx: &mut Context<'_>) -> Vec<Arc<Node>> {
    let names: BTreeSet<&str> = pods.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref()).collect();
    names.into_iter().filter_map(|name| cx.get::<Node>(&ObjectKey::cluster(Node::RESOURCE, name))).collect()
}

fn carry_out(change: Change, cx: &mut Context<'_>) {
    match change {
        Change::CreateSlice(slice) => cx.create(&slice),
        Change::UpdateSlice(slice) => cx.update(&slice),
        Change::DeleteSlice(slice) => cx.delete(&*slice, DeleteOptions::default()),
        Change::CreateEndpoints(endpoints) => cx.create(&endpoints),
        Change::UpdateEndpoints(endpoints) => cx.update(&endpoints),
        Change::DeleteEndpoints(endpoints) => cx.delete(&*endpoints, DeleteOptions::default()),
        Change::WriteStatus(service) => {
            cx.update_status(&*service);
            if status::is_balanced(&service) {
                cx.event(EventKind::Normal, "EnsuredLoadBalancer", "Ensured load balancer");
            }
        }
    }
}

/// The selector of what carries these labels.
fn carrying<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> Selector {
    let requirement = |(label, value): (&str, &str)| Requirement {
        label: label.into(),
        operator: LabelOperator::In(vec![value.into()]),
    };
    Selector { requirements: labels.into_iter().map(requirement).collect() }
}

/// The Services that select a pod: found by its labels, however many Services there are.
fn selecting_services(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let Some(namespace) = pod.key().namespace.as_deref() else { return Vec::new() };
    let labels = &pod.metadata().labels;
    let index = |(label, value): (&sampan_core::object::Name, &sampan_core::object::Name)| IndexKey::Field {
        resource: Service::RESOURCE,
        field: SELECTS,
        value: selecting(namespace, label, value).into(),
    };
    let candidates = labels.iter().map(index).flat_map(|index| snapshot.index(&index).cloned().collect::<Vec<_>>());
    candidates.filter(|service| selects(service, labels)).map(|service| service.key().clone()).collect()
}

fn selects(service: &Object, labels: &BTreeMap<sampan_core::object::Name, sampan_core::object::Name>) -> bool {
    let Ok(service) = service.decode::<Service>() else { return false };
    let mut pairs = plan::selector(&service).into_iter().flatten();
    pairs.all(|(label, value)| labels.get(label.as_str()).is_some_and(|found| **found == **value))
}

/// The Services a node is of interest to: those with pods on it, which tell its zone, and those that are reached at it.
fn services_on(node: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let field = |resource, field, value: &str| IndexKey::Field { resource, field, value: value.into() };
    let pods = field(Pod::RESOURCE, "spec.nodeName", &node.key().name);
    let of_pods = snapshot.index(&pods).flat_map(|pod| selecting_services(pod, snapshot));
    let balanced = field(Service::RESOURCE, "spec.type", status::LOAD_BALANCER);
    of_pods.chain(snapshot.index(&balanced).map(|service| service.key().clone())).collect()
}

/// The Service of the same name.
fn named_alike(endpoints: &Object) -> ObjectKey {
    ObjectKey { resource: Service::RESOURCE, ..endpoints.key().clone() }
}

/// The Service a slice says it belongs to.
fn served(slice: &Object) -> Option<ObjectKey> {
    let name = slice.metadata().labels.get(SERVICE_NAME)?.clone();
    Some(ObjectKey { resource: Service::RESOURCE, namespace: slice.key().namespace.clone(), name })
}
