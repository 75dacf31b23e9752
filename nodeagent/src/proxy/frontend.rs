//! Where a Service is reached, and who answers there: a pure function of the Service and its EndpointSlices.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// How long a client without connections stays with its endpoint, in seconds, where the Service does not say.
const STICKY_SECONDS: u32 = 10_800;

/// A pod's address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// The address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// Whether it is on another node.
    pub is_remote: bool,
}

/// Where something listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Door {
    /// The address; every address of the node where there is none.
    pub address: Option<Ipv4Addr>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    /// The port.
    pub port: u16,
}

/// What becomes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It goes to one of these, each as likely as another. Never none.
    Led(BTreeSet<Backend>),
    /// It is refused: nobody answers for the Service.
    Refused,
    /// It is dropped: somebody answers, but none whom the Service's traffic policy allows.
    Dropped,
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// The first of them.
    pub first: Ipv4Addr,
    /// How many bits all have in common.
    pub prefix: u8,
}

impl Network {
    /// From `10.1.0.0/16`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.trim().split_once('/')?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self { first: Ipv4Addr::from(u32::from(address) & mask(prefix)), prefix })
    }

    /// The last address.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first) | !mask(self.prefix))
    }

    fn holds(self, other: Self) -> bool {
        self.prefix <= other.prefix && u32::from(other.first) & mask(self.prefix) == u32::from(self.first)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// A door and what becomes of those who come to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontend {
    /// Where.
    pub door: Door,
    /// Whether the address is the Service's own, that no other is given. Anybody may ask to be led to at others.
    pub is_own: bool,
    /// What.
    pub fate: Fate,
    /// For how many seconds a client stays with its endpoint, where the Service wants that.
    pub sticky_seconds: Option<u32>,
    /// Whom the door admits, where it does not admit everybody. None of them holds another.
    pub admitted: Option<BTreeSet<Network>>,
}

/// All doors of a Service, as `node` serves them.
pub fn frontends(service: &Service, slices: &[&EndpointSlice], node: &str) -> Vec<Frontend> {
    let Some(spec) = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName")) else {
        return Vec::new();
    };
    let Some(address) = spec.cluster_ip.as_deref().and_then(|text| text.parse::<Ipv4Addr>().ok()) else {
        return Vec::new();
    };
    let sticky_seconds = sticky_seconds(spec);
    let mut frontends = Vec::new();
    for port in spec.ports.iter().flatten() {
        let (Some(protocol), Ok(number)) = (protocol(port.protocol.as_deref()), u16::try_from(port.port)) else {
            continue;
        };
        let answering = answering(slices, port, node);
        let inside = fate(&answering, spec.internal_traffic_policy.as_deref());
        let outside = fate(&answering, spec.external_traffic_policy.as_deref());
        let mut open = |address: Option<Ipv4Addr>, port: u16, is_own: bool, fate: &Fate| {
            let door = Door { address, protocol, port };
            frontends.push(Frontend { door, is_own, fate: fate.clone(), sticky_seconds, admitted: None });
        };
        open(Some(address), number, true, &inside);
        for address in external_addresses(spec) {
            open(Some(address), number, false, &outside);
        }
        if let Some(node_port) = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) {
            open(None, node_port, true, &outside);
        }
        let admitted = admitted(spec);
        for address in balanced_addresses(service) {
            let door = Door { address: Some(address), protocol, port: number };
            let (fate, admitted) = (outside.clone(), admitted.clone());
            frontends.push(Frontend { door, is_own: false, fate, sticky_seconds, admitted });
        }
    }
    frontends
}

fn sticky_seconds(spec: &ServiceSpec) -> Option<u32> {
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let client = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        client.and_then(|client| client.timeout_seconds).and_then(|it| u32::try_from(it).ok()).unwrap_or(STICKY_SECONDS)
    })
}

fn external_addresses(spec: &ServiceSpec) -> impl Iterator<Item = Ipv4Addr> {
    spec.external_ips.iter().flatten().filter_map(|text| text.parse().ok())
}

/// The addresses a load balancer was given, but for those at which it stands between itself.
fn balanced_addresses(service: &Service) -> impl Iterator<Item = Ipv4Addr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.into_iter().flat_map(|it| it.ingress.iter().flatten());
    ingress.filter(|it| it.ip_mode.as_deref() != Some("Proxy")).filter_map(|it| it.ip.as_deref()?.parse().ok())
}

/// Whom a load balancer admits; of networks one of which holds the other, the larger. Those of another family admit nobody here.
fn admitted(spec: &ServiceSpec) -> Option<BTreeSet<Network>> {
    let ranges = spec.load_balancer_source_ranges.as_ref().filter(|ranges| !ranges.is_empty())?;
    let networks: BTreeSet<Network> = ranges.iter().filter_map(|range| Network::parse(range)).collect();
    let is_held = |network: &Network| networks.iter().any(|other| other != network && other.holds(*network));
    Some(networks.iter().filter(|network| !is_held(network)).copied().collect())
}

fn protocol(name: Option<&str>) -> Option<&'static str> {
    match name {
        None | Some("TCP") => Some("tcp"),
        Some("UDP") => Some("udp"),
        Some("SCTP") => Some("sctp"),
        Some(_) => None,
    }
}

/// Who answers for a port of a Service.
struct Answering {
    ready: BTreeSet<Backend>,
    /// On their way out, and still answering.
    leaving: BTreeSet<Backend>,
}

fn answering(slices: &[&EndpointSlice], port: &ServicePort, node: &str) -> Answering {
    let mut answering = Answering { ready: BTreeSet::new(), leaving: BTreeSet::new() };
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let Some(number) = slice.ports.iter().flatten().find_map(|offered| offered_port(offered, port)) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            // All addresses of an endpoint are the same pod; the first is enough.
            let Some(address) = endpoint.addresses.first().and_then(|text| text.parse().ok()) else { continue };
            let is_remote = endpoint.node_name.as_deref().is_some_and(|name| name != node);
            let backend = Backend { address, port: number, is_remote };
            if is_ready(endpoint) {
                answering.ready.insert(backend);
            } else if is_leaving(endpoint) {
                answering.leaving.insert(backend);
            }
        }
    }
    answering
}

fn offered_port(offered: &EndpointPort, port: &ServicePort) -> Option<u16> {
    let same_name = offered.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default();
    let same_protocol = protocol(offered.protocol.as_deref()) == protocol(port.protocol.as_deref());
    offered.port.filter(|_| same_name && same_protocol).and_then(|port| u16::try_from(port).ok())
}

/// Unknown is ready, by the API's definition.
pub(super) fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn is_leaving(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_some_and(|it| it.serving == Some(true) && it.terminating == Some(true))
}

/// Those who are ready; where there are none, those who still answer on their way out (KEP-1669).
fn fate(answering: &Answering, policy: Option<&str>) -> Fate {
    let is_local = policy == Some("Local");
    let chosen = |all: &BTreeSet<Backend>| -> BTreeSet<Backend> {
        all.iter().filter(|backend| !is_local || !backend.is_remote).copied().collect()
    };
    let (ready, leaving) = (chosen(&answering.ready), chosen(&answering.leaving));
    match (ready.is_empty(), leaving.is_empty()) {
        (false, _) => Fate::Led(ready),
        (true, false) => Fate::Led(leaving),
        (true, true) if answering.ready.is_empty() && answering.leaving.is_empty() => Fate::Refused,
        (true, true) => Fate::Dropped,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "demo"}, "spec": spec})).unwrap()
    }

    fn slice(endpoints: Value) -> EndpointSlice {
        let port = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
        serde_json::from_value(json!({"addressType": "IPv4", "metadata": {}, "endpoints": endpoints, "ports": port}))
            .unwrap()
    }

    fn endpoint(address: &str, node: &str, conditions: Value) -> Value {
        json!({"addresses": [address], "nodeName": node, "conditions": conditions})
    }

    fn check(spec: Value, endpoints: Value, expect: &[&str]) {
        let mut spec = spec;
        spec["clusterIP"] = json!("10.96.0.7");
        if spec["ports"].is_null() {
            spec["ports"] = json!([{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}]);
        }
        let lines = frontends(&service(spec), &[&slice(endpoints)], "here").into_iter().map(|frontend| {
            let address = frontend.door.address.map_or_else(|| "node".to_owned(), |it| it.to_string());
            let fate = match frontend.fate {
                Fate::Led(to) => to.iter().map(|it| it.address.to_string()).collect::<Vec<_>>().join(" "),
                other => format!("{other:?}"),
            };
            format!("{address}:{} {fate}", frontend.door.port)
        });
        assert_eq!(lines.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn ready_endpoints_answer_and_the_leaving_only_where_nobody_is_ready() {
        let ready = endpoint("10.1.0.1", "here", json!({"ready": true, "serving": true}));
        let unknown = endpoint("10.1.0.2", "here", json!({}));
        let leaving = endpoint("10.1.0.3", "here", json!({"ready": false, "serving": true, "terminating": true}));
        let failing = endpoint("10.1.0.4", "here", json!({"ready": false, "serving": false}));
        let (both, last) = (["10.96.0.7:80 10.1.0.1 10.1.0.2", "node:30080 10.1.0.1 10.1.0.2"], "10.1.0.3");
        check(json!({}), json!([ready, unknown, leaving, failing]), &both);
        let expect = [format!("10.96.0.7:80 {last}"), format!("node:30080 {last}")];
        check(json!({}), json!([leaving, failing]), &[&expect[0], &expect[1]]);
        check(json!({}), json!([failing]), &["10.96.0.7:80 Refused", "node:30080 Refused"]);
    }

    #[test]
    fn a_local_policy_keeps_to_the_node_and_drops_where_it_has_none() {
        let here = endpoint("10.1.0.1", "here", json!({"ready": true}));
        let there = endpoint("10.1.0.2", "there", json!({"ready": true}));
        let outside = json!({"externalTrafficPolicy": "Local"});
        let all = "10.96.0.7:80 10.1.0.1 10.1.0.2";
        check(outside.clone(), json!([here, there]), &[all, "node:30080 10.1.0.1"]);
        check(outside, json!([there]), &["10.96.0.7:80 10.1.0.2", "node:30080 Dropped"]);
        let inside = json!({"internalTrafficPolicy": "Local"});
        check(inside, json!([there]), &["10.96.0.7:80 Dropped", "node:30080 10.1.0.2"]);
    }

    #[test]
    fn a_port_leads_to_the_endpoints_port_of_its_name_and_protocol() {
        let here = endpoint("10.1.0.1", "here", json!({"ready": true}));
        let ports = json!([
            {"name": "http", "port": 80, "protocol": "UDP"},
            {"name": "metrics", "port": 81, "protocol": "TCP"},
        ]);
        check(json!({"ports": ports}), json!([here]), &["10.96.0.7:80 Refused", "10.96.0.7:81 Refused"]);
    }

    #[test]
    fn external_addresses_are_doors_and_headless_services_have_none() {
        let here = endpoint("10.1.0.1", "here", json!({"ready": true}));
        let ports = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
        let spec = json!({"ports": ports, "externalIPs": ["192.0.2.9"]});
        check(spec, json!([here]), &["10.96.0.7:80 10.1.0.1", "192.0.2.9:80 10.1.0.1"]);
        let headless = service(json!({"clusterIP": "None", "ports": ports}));
        assert_eq!(frontends(&headless, &[], "here"), []);
    }

    #[test]
    fn a_balancer_admits_whom_the_service_says_and_other_doors_everybody() {
        let ranges = ["10.1.2.3/16", "10.1.9.0/24", " 192.0.2.7/32", "fd00::/8"];
        let ports = json!([{"name": "http", "port": 80, "nodePort": 30080}]);
        let spec = json!({"clusterIP": "10.96.0.7", "ports": ports, "externalIPs": ["192.0.2.9"], "loadBalancerSourceRanges": ranges});
        let mut service = service(spec);
        service.status =
            serde_json::from_value(json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}})).unwrap();
        let told = |service: &Service| {
            let frontends = frontends(service, &[], "here").into_iter();
            let told = frontends.map(|it| {
                let networks = it.admitted.map(|it| it.into_iter().map(|it| format!("{}/{}", it.first, it.prefix)));
                format!("{} {:?}", it.door, networks.map(Iterator::collect::<Vec<_>>))
            });
            told.collect::<Vec<_>>()
        };
        let guarded = "198.51.100.7 . tcp . 80 Some([\"10.1.0.0/16\", \"192.0.2.7/32\"])";
        let open = ["10.96.0.7 . tcp . 80 None", "192.0.2.9 . tcp . 80 None", "tcp . 30080 None"];
        assert_eq!(told(&service), [&open[..], &[guarded]].concat());
        service.spec.as_mut().unwrap().load_balancer_source_ranges = None;
        assert_eq!(told(&service), [&open[..], &["198.51.100.7 . tcp . 80 None"]].concat());
    }

    #[test]
    fn clients_stay_as_long_as_the_service_says() {
        let sticky = |spec: Value| sticky_seconds(service(spec).spec.as_ref().unwrap());
        assert_eq!(sticky(json!({})), None);
        assert_eq!(sticky(json!({"sessionAffinity": "ClientIP"})), Some(10_800));
        let config = json!({"clientIP": {"timeoutSeconds": 7}});
        assert_eq!(sticky(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config})), Some(7));
    }
}
