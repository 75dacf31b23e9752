//! Endpoints: the addresses of a Service in one object, as it was before there were slices.

use jiff::Timestamp;
use serde_json::Value;

use super::{PROTOCOLS, host_and_port, shown, shown_or_none};
use crate::object::{ResourceType, names};
use crate::resource::address::endpoint_address;
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut};
use crate::resource::read::{integer, items, size, text};
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const ENDPOINTS: ResourceType = ResourceType::new("", "endpoints");

struct EndpointsStrategy;

/// What an Endpoints object is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.Endpoints");
    ResourceDefinition {
        short_names: &["ep"],
        ..ResourceDefinition::plain(ENDPOINTS, "Endpoints", "endpoints", version, EndpointsStrategy)
    }
}

impl Strategy for EndpointsStrategy {
    fn default(&self, object: &mut Value) {
        let ports = items_mut(object, "subsets").flat_map(|subset| items_mut(subset, "ports"));
        ports.for_each(|port| fill(port, "protocol", "TCP"));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for subset in Field::root(object).at("subsets").items() {
            let lists = ["addresses", "notReadyAddresses"].map(|list| subset.at(list));
            if lists.iter().all(|list| list.count() == 0) {
                faults.required(&subset, "must specify `addresses` or `notReadyAddresses`");
            }
            lists.iter().flat_map(Field::items).for_each(|found| address(&found, &mut faults));
            let ports = subset.at("ports");
            ports.items().for_each(|found| port(&found, ports.count() > 1, &mut faults));
        }
        faults.errors.causes()
    }

    fn warnings(&self, _object: &Value) -> Vec<String> {
        vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()]
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Endpoints", "The addresses of pods that are ready, with their ports."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let listed: Vec<String> = items(object, "/subsets").flat_map(ready_addresses).collect();
        let cell = if size(object, "/subsets") == 0 { shown_or_none(&[]) } else { shown(&listed, "") };
        vec![cell.into(), age(object, now)]
    }
}

fn address(address: &Field<'_>, faults: &mut Faults) {
    let ip = address.at("ip");
    faults.rule(&ip, |value| match names::ip_address(value) {
        broken if broken.is_empty() => endpoint_address(value),
        broken => broken,
    });
    faults.optional_rule(&address.at("hostname"), names::dns_1123_label);
    if address.at("nodeName").is_set() {
        faults.rule(&address.at("nodeName"), names::dns_1123_subdomain);
    }
}

fn port(port: &Field<'_>, one_of_several: bool, faults: &mut Faults) {
    let name = port.at("name");
    if one_of_several && name.text().is_empty() {
        faults.required(&name, "");
    }
    faults.optional_rule(&name, names::dns_1123_label);
    faults.number_rule(&port.at("port"), names::port_number);
    faults.one_of(&port.at("protocol"), &PROTOCOLS);
    faults.optional_rule(&port.at("appProtocol"), names::qualified_name);
}

/// Each address of a subset with each of its ports.
fn ready_addresses(subset: &Value) -> Vec<String> {
    let addresses = || items(subset, "/addresses").map(|address| text(address, "/ip"));
    if size(subset, "/ports") == 0 {
        return addresses().map(str::to_owned).collect();
    }
    let ports = items(subset, "/ports").map(|port| integer(port, "/port"));
    ports.flat_map(|port| addresses().map(move |address| host_and_port(address, port))).collect()
}
