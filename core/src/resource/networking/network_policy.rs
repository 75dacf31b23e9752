//! NetworkPolicies: who may talk to which pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{FieldError, ResourceType, names};
use crate::resource::address::{address_range, range};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut, object_at, set};
use crate::resource::label_selector::validate_label_selector;
use crate::resource::read::size;
use crate::resource::table::age;
use crate::resource::workload::shown_selector;
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const NETWORK_POLICIES: ResourceType = ResourceType::new("networking.k8s.io", "networkpolicies");

/// The two directions, each with the field that lists the other side.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];
const TYPES: [&str; 2] = ["Ingress", "Egress"];

struct NetworkPolicyStrategy;

/// What a NetworkPolicy is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("networking.k8s.io", "v1", "io.k8s.api.networking.v1.NetworkPolicy");
    ResourceDefinition {
        short_names: &["netpol"],
        has_generation: true,
        ..ResourceDefinition::plain(NETWORK_POLICIES, "NetworkPolicy", "networkpolicy", version, NetworkPolicyStrategy)
    }
}

impl Strategy for NetworkPolicyStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        object_at(spec, "podSelector");
        for (direction, _) in DIRECTIONS {
            let ports = items_mut(spec, direction).flat_map(|rule| items_mut(rule, "ports"));
            ports.for_each(|port| fill(port, "protocol", "TCP"));
        }
        if size(spec, "/policyTypes") == 0 {
            let types = if size(spec, "/egress") > 0 { json!(TYPES) } else { json!(["Ingress"]) };
            set(spec, "policyTypes", types);
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        validate_label_selector(&spec.at("podSelector"), &mut faults);
        for (direction, others) in DIRECTIONS {
            for rule in spec.at(direction).items() {
                rule.at("ports").items().for_each(|found| port(&found, &mut faults));
                rule.at(others).items().for_each(|found| peer(&found, &mut faults));
            }
        }
        let types = spec.at("policyTypes");
        if types.count() > TYPES.len() {
            faults.invalid(&types, "may not specify more than two policyTypes");
        } else {
            types.items().for_each(|kind| faults.one_of_if_set(&kind, &TYPES));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Pod-Selector", "The pods it is about."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![shown_selector(object.pointer("/spec/podSelector").unwrap_or(&Value::Null)), age(object, now)]
    }
}

fn port(port: &Field<'_>, faults: &mut Faults) {
    faults.one_of_if_set(&port.at("protocol"), &["TCP", "UDP", "SCTP"]);
    let (first, last) = (port.at("port"), port.at("endPort"));
    match first.value {
        Value::String(_) => {
            if last.is_set() {
                faults.invalid(&last, "may not be specified when `port` is non-numeric");
            }
            faults.rule(&first, names::port_name);
        }
        Value::Number(_) => {
            faults.number_rule(&first, names::port_number);
            if last.number().is_some_and(|last| last < first.number().unwrap_or_default()) {
                let why = "must be greater than or equal to `port`";
                faults.errors.push(FieldError::invalid(last.path.clone(), first.value.clone(), why));
            }
            faults.number_rule(&last, names::port_number);
        }
        _ if last.is_set() => faults.invalid(&last, "may not be specified when `port` is not specified"),
        _ => {}
    }
}

fn peer(peer: &Field<'_>, faults: &mut Faults) {
    let selectors = peer.which(["podSelector", "namespaceSelector"]);
    selectors.iter().for_each(|selector| validate_label_selector(selector, faults));
    let block = peer.at("ipBlock");
    match (selectors.is_empty(), block.is_set()) {
        (true, false) => faults.required(peer, "must specify a peer"),
        (false, true) => faults.forbidden(peer, "may not specify both ipBlock and another peer"),
        _ => {}
    }
    if block.is_set() {
        addresses(&block, faults);
    }
}

fn addresses(block: &Field<'_>, faults: &mut Faults) {
    let cidr = block.at("cidr");
    faults.required_rule(&cidr, address_range);
    let Some(whole) = range(cidr.text()) else { return };
    for except in block.at("except").items() {
        faults.rule(&except, address_range);
        if range(except.text()).is_some_and(|part| !is_within(part, whole)) {
            faults.invalid(&except, "must be a strict subset of `cidr`");
        }
    }
}

/// Whether a range is a part of another one and smaller.
fn is_within((part, part_bits): (std::net::IpAddr, u8), (whole, bits): (std::net::IpAddr, u8)) -> bool {
    use std::net::IpAddr::{V4, V6};
    let shared = match (part, whole) {
        (V4(part), V4(whole)) => (part.to_bits() ^ whole.to_bits()).leading_zeros(),
        (V6(part), V6(whole)) => (part.to_bits() ^ whole.to_bits()).leading_zeros(),
        _ => return false,
    };
    shared >= u32::from(bits) && part_bits > bits
}
