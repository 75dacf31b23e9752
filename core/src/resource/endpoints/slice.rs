//! EndpointSlices: some of the addresses of a Service.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{PROTOCOLS, shown};
use crate::object::{FieldError, ResourceType, names};
use crate::resource::address::endpoint_address;
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut, set};
use crate::resource::read::{items, text};
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const ENDPOINT_SLICES: ResourceType = ResourceType::new("discovery.k8s.io", "endpointslices");

const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const TOPOLOGY_LABELS_MAX: usize = 16;
const HINTS_MAX: usize = 8;

struct EndpointSliceStrategy;

/// What an EndpointSlice is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("discovery.k8s.io", "v1", "io.k8s.api.discovery.v1.EndpointSlice");
    ResourceDefinition {
        has_generation: true,
        ..ResourceDefinition::plain(ENDPOINT_SLICES, "EndpointSlice", "endpointslice", version, EndpointSliceStrategy)
    }
}

impl Strategy for EndpointSliceStrategy {
    fn default(&self, object: &mut Value) {
        for port in items_mut(object, "ports") {
            if port.get("name").is_none_or(Value::is_null) {
                set(port, "name", "");
            }
            fill(port, "protocol", "TCP");
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let slice = Field::root(object);
        faults.one_of(&slice.at("addressType"), &["FQDN", "IPv4", "IPv6"]);
        ports(&slice.at("ports"), &mut faults);
        let (endpoints, kind) = (slice.at("endpoints"), slice.at("addressType").text());
        if endpoints.count() > ENDPOINTS_MAX {
            faults.at_most(&endpoints, ENDPOINTS_MAX);
        } else {
            endpoints.items().for_each(|found| endpoint(&found, kind, &mut faults));
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&Field::root(object).at("addressType"), &Field::root(old).at("addressType"));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("AddressType", "What kind of addresses it holds."),
            Column::text("Ports", "The ports of each endpoint."),
            Column::text("Endpoints", "The addresses."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let port = |port: &Value| match port.get("port").and_then(Value::as_i64) {
            Some(number) => number.to_string(),
            None => port.get("name").and_then(Value::as_str).unwrap_or("*").to_owned(),
        };
        let ports: Vec<String> = items(object, "/ports").map(port).collect();
        let addresses = items(object, "/endpoints").flat_map(|endpoint| items(endpoint, "/addresses"));
        let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
        vec![
            text(object, "/addressType").into(),
            shown(&ports, "<unset>").into(),
            shown(&addresses, "<unset>").into(),
            age(object, now),
        ]
    }
}

fn ports(ports: &Field<'_>, faults: &mut Faults) {
    if ports.count() > PORTS_MAX {
        return faults.at_most(ports, PORTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.at("name");
        faults.optional_rule(&name, names::dns_1123_label);
        if !seen.insert(name.text()) {
            faults.duplicate(&name);
        }
        faults.one_of(&port.at("protocol"), &PROTOCOLS);
        faults.optional_rule(&port.at("appProtocol"), names::qualified_name);
    }
}

fn endpoint(endpoint: &Field<'_>, kind: &str, faults: &mut Faults) {
    let addresses = endpoint.at("addresses");
    if addresses.count() == 0 {
        faults.required(&addresses, "must contain at least 1 address");
    }
    faults.at_most(&addresses, ADDRESSES_MAX);
    addresses.items().for_each(|found| address(&found, &addresses, kind, faults));
    if endpoint.at("nodeName").is_set() {
        faults.rule(&endpoint.at("nodeName"), names::dns_1123_subdomain);
    }
    let topology = endpoint.at("deprecatedTopology");
    faults.at_most(&topology, TOPOLOGY_LABELS_MAX);
    names::labels(topology.texts(), &topology.path, &mut faults.errors);
    if endpoint.at("hostname").is_set() {
        faults.rule(&endpoint.at("hostname"), names::dns_1123_label);
    }
    let hints = endpoint.at("hints");
    hint_names(&hints.at("forZones"), names::label_value, faults);
    hint_names(&hints.at("forNodes"), names::dns_1123_subdomain, faults);
}

fn address(address: &Field<'_>, list: &Field<'_>, kind: &str, faults: &mut Faults) {
    let value = address.text();
    if kind == "FQDN" {
        let dotted = value.strip_suffix('.').unwrap_or(value);
        if !dotted.contains('.') {
            faults.invalid(address, "should be a domain with at least two segments separated by dots");
        }
        return faults.rule(address, |_| names::dns_1123_subdomain(dotted));
    }
    let Ok(parsed) = value.parse::<IpAddr>() else {
        return faults.rule(address, names::ip_address);
    };
    if (kind == "IPv4" && !parsed.is_ipv4()) || (kind == "IPv6" && !parsed.is_ipv6()) {
        let why = format!("must be an {kind} address");
        faults.errors.push(FieldError::invalid(list.path.clone(), json!(value), why));
    }
    faults.rule(address, endpoint_address);
}

fn hint_names(hints: &Field<'_>, rule: fn(&str) -> Vec<String>, faults: &mut Faults) {
    if hints.count() > HINTS_MAX {
        return faults.at_most(hints, HINTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for name in hints.items().map(|hint| hint.at("name")) {
        if !seen.insert(name.text()) {
            faults.duplicate(&name);
        }
        faults.rule(&name, rule);
    }
}
