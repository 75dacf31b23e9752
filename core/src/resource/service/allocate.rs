//! What Services are given: addresses and ports, each to one alone.
//!
//! Nothing is written down beside the Services: what is taken is what they have, and the sequencer decides who has it first.
//! So nothing is lost or left behind by a crash, and what a Service no longer has is free.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::keep::{has_address, has_node_ports, ports_in_use};
use super::{HEADLESS, SERVICES, is_health_checked};
use crate::entropy::{Entropy, SeededEntropy};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{items_mut, present, set};
use crate::resource::read::{integer, text};
use crate::store::{CommitCondition, IndexKey, Snapshot};

/// The address of the API server's own Service: the first of the range.
pub const API_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The address of the cluster's name server: the tenth, as is usual.
pub const NAME_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// The field Services are found by their node ports with.
pub(super) const NODE_PORTS: &str = "nodePorts";
/// The selectable field that holds the address.
const ADDRESS: &str = "spec.clusterIP";

/// The range of addresses.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
const PREFIX: u32 = 16;
/// What addresses are drawn from: the range without its first and last, which name the network and everybody in it.
const ADDRESSES: Range = Range { first: NETWORK.to_bits() + 1, count: (1 << (32 - PREFIX)) - 2, fixed: 255 };
/// What node ports are drawn from.
const PORTS: Range = Range { first: 30_000, count: 2_768, fixed: 86 };

/// The range that addresses are drawn from, as users write it.
pub fn address_range() -> String {
    format!("{NETWORK}/{PREFIX}")
}

const FULL: &str = "range is full";
/// How often a number is drawn at random before free ones are looked for one by one: of a range half full, one draw in a
/// billion comes to that.
const DRAWS_MAX: usize = 30;

/// Numbers that are given out. The first few are drawn last: users who name a number themselves take one of those.
struct Range {
    first: u32,
    count: u32,
    fixed: u32,
}

impl Range {
    fn holds(&self, number: u32) -> bool {
        number.checked_sub(self.first).is_some_and(|offset| offset < self.count)
    }

    /// A number nobody has.
    fn draw(&self, chance: &mut dyn Entropy, is_free: impl Fn(u32) -> bool) -> Option<u32> {
        let (start, spread) = (self.first + self.fixed, self.count - self.fixed);
        let mut any = || start + (chance.next_u64() % u64::from(spread)) as u32;
        let drawn = (0..DRAWS_MAX).map(|_| any()).find(|number| is_free(*number));
        drawn.or_else(|| {
            let from = any();
            let others = (from..start + spread).chain(start..from).chain(self.first..start);
            others.into_iter().find(|number| is_free(*number))
        })
    }
}

/// Gives a Service what it should have and has not.
pub(super) fn draw(service: &mut Value, snapshot: &Snapshot) {
    let mut chance = chance(service);
    let Some(spec) = present(service, "spec") else { return };
    if has_address(spec) && text(spec, "/clusterIP").is_empty() && text(spec, "/clusterIPs/0").is_empty() {
        let free = |number: u32| !is_taken(snapshot, ADDRESS, &Ipv4Addr::from_bits(number).to_string());
        if let Some(drawn) = ADDRESSES.draw(&mut chance, free) {
            let address = Ipv4Addr::from_bits(drawn).to_string();
            set(spec, "clusterIPs", json!([address]));
            set(spec, "clusterIP", address);
        }
    }
    let mut own = ports_in_use(spec);
    if has_node_ports(spec) {
        draw_ports(spec, &mut own, &mut chance, snapshot);
    }
    if is_health_checked(&Field::root(spec))
        && integer(spec, "/healthCheckNodePort") == 0
        && let Some(port) = draw_port(&own, &mut chance, snapshot)
    {
        set(spec, "healthCheckNodePort", port);
    }
}

/// Ports of one number, one for each protocol, share a node port.
fn draw_ports(spec: &mut Value, own: &mut BTreeSet<i64>, chance: &mut dyn Entropy, snapshot: &Snapshot) {
    let number = |port: &Value| (integer(port, "/port"), text(port, "/protocol").to_owned());
    let mut of_number: BTreeMap<i64, i64> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for port in items_mut(spec, "ports").filter(|port| integer(port, "/nodePort") != 0) {
        of_number.entry(number(port).0).or_insert(integer(port, "/nodePort"));
        taken.insert((text(port, "/protocol").to_owned(), integer(port, "/nodePort")));
    }
    for port in items_mut(spec, "ports").filter(|port| integer(port, "/nodePort") == 0) {
        let (number, protocol) = number(port);
        let shared = of_number.get(&number).copied().filter(|it| !taken.contains(&(protocol.clone(), *it)));
        let Some(node_port) = shared.or_else(|| draw_port(own, chance, snapshot)) else { continue };
        own.insert(node_port);
        of_number.insert(number, node_port);
        taken.insert((protocol, node_port));
        set(port, "nodePort", node_port);
    }
}

fn draw_port(own: &BTreeSet<i64>, chance: &mut dyn Entropy, snapshot: &Snapshot) -> Option<i64> {
    let free = |port: u32| !own.contains(&port.into()) && !is_taken(snapshot, NODE_PORTS, &port.to_string());
    PORTS.draw(chance, free).map(i64::from)
}

/// What a draw is made by: each Service's own, and another with each change of it.
fn chance(service: &Value) -> SeededEntropy {
    let mut hasher = DefaultHasher::new();
    (text(service, "/metadata/uid"), text(service, "/metadata/resourceVersion")).hash(&mut hasher);
    SeededEntropy::new(hasher.finish())
}

/// All node ports of a Service, each once.
pub(super) fn node_ports(service: &Value) -> Vec<String> {
    let Some(spec) = service.get("spec") else { return Vec::new() };
    let mut ports = ports_in_use(spec);
    ports.insert(integer(spec, "/healthCheckNodePort"));
    ports.into_iter().filter(|port| *port != 0).map(|port| port.to_string()).collect()
}

/// What must be nobody else's when the Service is committed.
pub(super) fn claims(service: &Value) -> Vec<CommitCondition> {
    let address = Some(text(service, "/spec/clusterIP")).filter(|address| !["", HEADLESS].contains(address));
    let address = address.map(|address| index(ADDRESS, address));
    let ports = node_ports(service).into_iter().map(|port| index(NODE_PORTS, &port));
    address.into_iter().chain(ports).map(CommitCondition::Unique).collect()
}

fn index(field: &'static str, value: &str) -> IndexKey {
    IndexKey::Field { resource: SERVICES, field, value: value.into() }
}

fn is_taken(snapshot: &Snapshot, field: &'static str, value: &str) -> bool {
    snapshot.index(&index(field, value)).next().is_some()
}

/// Whether what the Service did not have before is in range and free, and whether a draw has left it without.
pub(super) fn validate(service: &Field<'_>, old: Option<&Value>, snapshot: &Snapshot, faults: &mut Faults) {
    let claims = Claims { service, old: old.and_then(|old| old.get("spec")), snapshot };
    claims.address(faults);
    if faults.errors.is_empty() {
        claims.ports(faults);
    }
}

struct Claims<'c> {
    service: &'c Field<'c>,
    old: Option<&'c Value>,
    snapshot: &'c Snapshot,
}

impl Claims<'_> {
    fn address(&self, faults: &mut Faults) {
        let spec = self.service.at("spec");
        let (list, address) = (spec.at("clusterIPs"), spec.at("clusterIP").text());
        if !has_address(spec.value) || address == HEADLESS {
            return;
        }
        if address.is_empty() {
            return faults.invalid(&list, format!("failed to allocate a serviceIP: {FULL}"));
        }
        if self.old.is_some_and(|old| text(old, "/clusterIP") == address) {
            return;
        }
        let number = address.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits).unwrap_or_default();
        let why = if !ADDRESSES.holds(number) {
            "the provided network does not match the current range"
        } else if self.is_others(ADDRESS, address) {
            "provided IP is already allocated"
        } else {
            return;
        };
        faults.invalid(&list, format!("failed to allocate IP {address}: {why}"));
    }

    fn ports(&self, faults: &mut Faults) {
        let spec = self.service.at("spec");
        let had = self.old.map(ports_in_use).unwrap_or_default();
        for port in spec.at("ports").items().map(|port| port.at("nodePort")) {
            match port.number().unwrap_or_default() {
                0 if has_node_ports(spec.value) => {
                    faults.invalid(&port, format!("failed to allocate a nodePort: {FULL}"));
                }
                0 => {}
                number if had.contains(&number) => {}
                number => self.port(number).into_iter().for_each(|why| faults.invalid(&port, why)),
            }
        }
        let check = spec.at("healthCheckNodePort");
        let had = self.old.map(|old| integer(old, "/healthCheckNodePort")).unwrap_or_default();
        match check.number().unwrap_or_default() {
            0 if is_health_checked(&spec) => {
                faults.invalid(&check, format!("failed to allocate a HealthCheck NodePort: {FULL}"));
            }
            0 => {}
            number if number == had => {}
            number => self.port(number).into_iter().for_each(|why| {
                faults.invalid(&check, format!("failed to allocate requested HealthCheck NodePort {number}: {why}"));
            }),
        }
    }

    /// Why a node port cannot be had.
    fn port(&self, number: i64) -> Option<String> {
        if !u32::try_from(number).is_ok_and(|number| PORTS.holds(number)) {
            let (first, last) = (PORTS.first, PORTS.first + PORTS.count - 1);
            return Some(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            ));
        }
        let taken = self.is_others(NODE_PORTS, &number.to_string());
        taken.then(|| "provided port is already allocated".to_owned())
    }

    fn is_others(&self, field: &'static str, value: &str) -> bool {
        let own = self.service.at("metadata");
        let is_own = |key: &crate::object::ObjectKey| {
            *key.name == *own.at("name").text() && key.namespace.as_deref() == Some(own.at("namespace").text())
        };
        self.snapshot.index(&index(field, value)).any(|other| !is_own(other.key()))
    }
}
