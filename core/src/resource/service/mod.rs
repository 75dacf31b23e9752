//! Services: a name and an address for a set of pods.
//!
//! What is here is what a Service is: its defaults, rules and columns, and the addresses and node ports it is given. Where its
//! endpoints are is kept by the operator.

mod addresses;
mod allocate;
mod columns;
mod default;
mod keep;
mod proxy;
mod validate;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::set;
use super::read::text;
use super::{
    Cell, Column, Destination, FieldGetter, ProxyName, ResourceDefinition, ServedVersion, Strategy,
    SubresourceDefinition, ValuesGetter, WriteContext,
};
use crate::object::{Object, ResourceType, names};
use crate::status::{Status, StatusCause};
use crate::store::{CommitCondition, Snapshot};

pub use allocate::{API_SERVER_ADDRESS, NAME_SERVER_ADDRESS, address_range};

/// The resource type.
pub const SERVICES: ResourceType = ResourceType::new("", "services");

/// The address of a Service without one.
pub const HEADLESS: &str = "None";

const SELECTABLE: &[(&str, FieldGetter)] = &[
    ("spec.clusterIP", |service| text(service, "/spec/clusterIP").to_owned()),
    ("spec.type", |service| text(service, "/spec/type").to_owned()),
];

/// The field Services are found by that may select a pod.
pub const SELECTS: &str = "selects";

const INDEXED: &[(&str, ValuesGetter)] =
    &[(allocate::NODE_PORTS, allocate::node_ports), (SELECTS, |service| selects(service).into_iter().collect())];

/// One label of a Service's selector, with its namespace: whatever it selects carries that label. So the Services of a pod
/// are found by its labels, however many Services there are.
fn selects(service: &Value) -> Option<String> {
    let selector = service.pointer("/spec/selector")?.as_object()?;
    let (label, value) = selector.iter().find_map(|(label, value)| Some((label, value.as_str()?)))?;
    Some(selecting(text(service, "/metadata/namespace"), label, value))
}

/// The value of [`SELECTS`] for Services of a namespace that may select what carries a label.
pub fn selecting(namespace: &str, label: &str, value: &str) -> String {
    format!("{namespace}/{label}={value}")
}

const SUBRESOURCES: &[SubresourceDefinition] = &[SubresourceDefinition::proxy("ServiceProxyOptions")];

struct ServiceStrategy;

/// What a Service is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.Service");
    ResourceDefinition {
        short_names: &["svc"],
        categories: &["all"],
        has_status: true,
        subresources: SUBRESOURCES,
        selectable: SELECTABLE,
        indexed: INDEXED,
        ..ResourceDefinition::plain(SERVICES, "Service", "service", version, ServiceStrategy)
    }
}

impl Strategy for ServiceStrategy {
    fn default(&self, object: &mut Value) {
        default::service(object);
    }

    fn prepare_create(&self, object: &mut Value, cx: &WriteContext<'_>) {
        set(object, "status", json!({"loadBalancer": {}}));
        allocate::draw(object, cx.snapshot);
        default::addresses(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, cx: &WriteContext<'_>) {
        keep::allocated(object, old);
        keep::drop_what_the_type_does_not_have(object, old);
        allocate::draw(object, cx.snapshot);
        default::addresses(object);
    }

    fn commit_conditions(&self, object: &Value) -> Vec<CommitCondition> {
        allocate::claims(object)
    }

    fn validate_claims(&self, object: &Value, old: Option<&Value>, cx: &WriteContext<'_>) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        allocate::validate(&Field::root(object), old, cx.snapshot, &mut faults);
        faults.errors.causes()
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        validate::service(&Field::root(object), &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        addresses::update(&Field::root(object).at("spec"), &Field::root(old).at("spec"), &mut faults);
        validate::update(&Field::root(object).at("spec"), &Field::root(old).at("spec"), &mut faults);
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        validate::status(&Field::root(object), &mut faults);
        faults.errors.causes()
    }

    fn destination(&self, service: &Object, asked: &ProxyName<'_>, snapshot: &Snapshot) -> Result<Destination, Status> {
        proxy::destination(service, asked.port, snapshot)
    }

    fn name_faults(&self, name: &str) -> Vec<String> {
        names::dns_1035_label(name)
    }

    fn columns(&self) -> Vec<Column> {
        columns::columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        columns::cells(object, now)
    }
}

/// Whether it is reached from outside of the cluster.
fn is_external(spec: &Field<'_>) -> bool {
    let external = matches!(spec.at("type").text(), "LoadBalancer" | "NodePort");
    external || (spec.at("type").text() == "ClusterIP" && spec.at("externalIPs").count() > 0)
}

fn is_headless(spec: &Field<'_>) -> bool {
    let of_list = spec.at("clusterIPs").items().next().is_some_and(|ip| ip.text() == HEADLESS);
    of_list || spec.at("clusterIP").text() == HEADLESS
}

fn is_load_balancer(spec: &Field<'_>) -> bool {
    spec.at("type").text() == "LoadBalancer"
}

/// Whether a load balancer asks each node whether it has pods.
fn is_health_checked(spec: &Field<'_>) -> bool {
    is_load_balancer(spec) && spec.at("externalTrafficPolicy").text() == "Local"
}
