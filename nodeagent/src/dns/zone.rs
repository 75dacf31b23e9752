//! The names of the cluster: what each stands for, by the published specification of DNS in Kubernetes.
//!
//! | name, before the cluster's domain | stands for |
//! | --- | --- |
//! | `web.shop.svc` | the Service's address; the ready endpoints of a headless one; an alias for `ExternalName` |
//! | `_http._tcp.web.shop.svc` | the port of that name, and where it is served |
//! | `web-0.web.shop.svc` | an endpoint of a headless Service, by its hostname or its address with dashes |
//! | `10-1-2-3.shop.pod` | that address |
//! | `3.2.1.10.in-addr.arpa` | the names above, the other way round |

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use hickory_server::proto::ProtoError;
use hickory_server::proto::rr::rdata::{CNAME, PTR, SOA, SRV, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::Endpoint;

use crate::services::known::cluster_addresses;
use crate::services::{Known, ServiceKey};

/// For how long an answer may be kept, in seconds; one that there is nothing, too.
const TTL: u32 = 5;
/// The version of the specification these names follow.
const SPECIFICATION: &str = "1.1.0";
/// Seconds between looks at a zone by servers that copy it; nobody does.
const REFRESH: i32 = 7200;
const RETRY: i32 = 1800;
const EXPIRE: i32 = 86_400;
/// Every server is as good as another.
const WEIGHT: u16 = 100;

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is known.
    Found {
        /// What was asked for.
        answers: Vec<Record>,
        /// What will be asked for next.
        additionals: Vec<Record>,
    },
    /// It is another name for this one.
    Alias(Name),
    /// It is a name, but nothing of the type asked for is known.
    Nothing,
    /// It is no name.
    NoName,
}

impl Answer {
    fn of(answers: Vec<Record>) -> Self {
        Self::found(answers, Vec::new())
    }

    fn found(answers: Vec<Record>, additionals: Vec<Record>) -> Self {
        if answers.is_empty() { Self::Nothing } else { Self::Found { answers, additionals } }
    }
}

/// The cluster's domain.
#[derive(Debug, Clone)]
pub struct Zone {
    origin: Name,
}

/// One question.
struct Question<'a> {
    known: &'a Known,
    name: &'a Name,
    kind: RecordType,
}

impl Zone {
    /// The zone of a domain such as `cluster.local`.
    ///
    /// # Errors
    /// When it is no domain.
    pub fn new(domain: &str) -> Result<Self, ProtoError> {
        Ok(Self { origin: Name::from_ascii(format!("{domain}."))? })
    }

    /// Whether the name is one of the cluster's.
    pub fn holds(&self, name: &Name) -> bool {
        self.origin.zone_of(name)
    }

    /// Who answers for the zone, and for how long an answer that there is nothing may be kept.
    pub fn authority(&self) -> Record {
        let under = |label: &str| self.origin.prepend_label(label).unwrap_or_else(|_| self.origin.clone());
        let soa = SOA::new(under("ns"), under("hostmaster"), 1, REFRESH, RETRY, EXPIRE, TTL);
        Record::from_rdata(self.origin.clone(), TTL, RData::SOA(soa))
    }

    /// What a name of the cluster stands for.
    pub fn answer(&self, known: &Known, name: &Name, kind: RecordType) -> Answer {
        let lower = name.to_lowercase();
        let own = usize::from(lower.num_labels().saturating_sub(self.origin.num_labels()));
        let labels: Vec<&str> = lower.iter().take(own).filter_map(|label| str::from_utf8(label).ok()).collect();
        let question = Question { known, name, kind };
        match labels[..] {
            [] if kind == RecordType::SOA => Answer::of(vec![self.authority()]),
            [] | ["svc" | "pod"] => Answer::Nothing,
            ["dns-version"] => question.version(),
            [namespace, "svc" | "pod"] => question.namespace(namespace),
            [address, _, "pod"] => question.pod(address),
            [name, namespace, "svc"] => question.service(&key(namespace, name)),
            [protocol, name, namespace, "svc"] if protocol.starts_with('_') => {
                question.protocol(&key(namespace, name), protocol)
            }
            [host, name, namespace, "svc"] => question.endpoint(&key(namespace, name), host),
            [port, protocol, name, namespace, "svc"] => self.port(&question, &key(namespace, name), port, protocol),
            _ => Answer::NoName,
        }
    }

    /// The names of an address; nothing if it is none of the cluster's.
    pub fn reverse(&self, known: &Known, name: &Name, kind: RecordType) -> Option<Answer> {
        let address = name.parse_arpa_name().ok().filter(|network| network.prefix_len() == network.max_prefix_len())?;
        let names = known.at(address.addr()).into_iter().flat_map(|key| self.names_of(known, key, address.addr()));
        let names: BTreeSet<Name> = names.collect();
        let records = names.into_iter().map(|target| record(name, RData::PTR(PTR(target))));
        match kind {
            RecordType::PTR => Some(Answer::of(records.collect())).filter(|answer| *answer != Answer::Nothing),
            _ => (records.len() > 0).then_some(Answer::Nothing),
        }
    }

    fn names_of(&self, known: &Known, key: &ServiceKey, address: IpAddr) -> Vec<Name> {
        let Some(service) = known.service(key) else { return Vec::new() };
        if cluster_addresses(service).any(|own| own == address) {
            return self.name_of(key, None).into_iter().collect();
        }
        if !is_headless(service) {
            return Vec::new();
        }
        let endpoints = ready(known, key).filter(|endpoint| addresses(endpoint).any(|own| own == address));
        endpoints.filter_map(|endpoint| self.name_of(key, host(endpoint).as_deref())).collect()
    }

    /// The name of a Service, or of the endpoint `host` of it. Nothing where that is too long for a name.
    fn name_of(&self, (namespace, name): &ServiceKey, host: Option<&str>) -> Option<Name> {
        let labels = host.into_iter().chain([name.as_str(), namespace.as_str(), "svc"]);
        Name::from_labels(labels.map(str::as_bytes)).ok()?.append_domain(&self.origin).ok()
    }

    fn port(&self, question: &Question<'_>, key: &ServiceKey, port: &str, protocol: &str) -> Answer {
        let (Some(service), Some(port), Some(protocol)) =
            (question.known.service(key), port.strip_prefix('_'), protocol.strip_prefix('_'))
        else {
            return Answer::NoName;
        };
        let is_asked = |name: Option<&str>, of: Option<&str>| {
            name == Some(port) && of.unwrap_or("TCP").eq_ignore_ascii_case(protocol)
        };
        let served = if is_headless(service) {
            by_endpoints(question.known, key, is_asked)
        } else {
            by_itself(service, is_asked)
        };
        match (served.is_empty(), question.kind) {
            (true, _) => Answer::NoName,
            (false, RecordType::SRV) => self.located(question, key, served),
            (false, _) => Answer::Nothing,
        }
    }

    fn located(&self, question: &Question<'_>, key: &ServiceKey, served: Vec<Served>) -> Answer {
        let (mut answers, mut additionals) = (Vec::new(), Vec::new());
        for Served { port, host, at } in served {
            let (Ok(port), Some(target)) = (u16::try_from(port), self.name_of(key, host.as_deref())) else { continue };
            additionals.extend(at.into_iter().map(|address| record(&target, RData::from(address))));
            answers.push(record(question.name, RData::SRV(SRV::new(0, WEIGHT, port, target))));
        }
        Answer::found(answers, additionals)
    }
}

/// A port, and where it is served: by the Service itself, or by one of its endpoints.
struct Served {
    port: i32,
    host: Option<String>,
    at: Vec<IpAddr>,
}

/// The ports asked for by name and protocol, of every endpoint that takes requests.
fn by_endpoints(known: &Known, key: &ServiceKey, is_asked: impl Fn(Option<&str>, Option<&str>) -> bool) -> Vec<Served> {
    let mut served = Vec::new();
    for slice in known.slices(key) {
        let ports = slice.ports.iter().flatten();
        for port in ports.filter(|port| is_asked(port.name.as_deref(), port.protocol.as_deref())) {
            let ready = slice.endpoints.iter().filter(|endpoint| is_ready(endpoint));
            served.extend(ready.map(|endpoint| Served {
                port: port.port.unwrap_or(0),
                host: host(endpoint),
                at: addresses(endpoint).collect(),
            }));
        }
    }
    served
}

/// The ports asked for by name and protocol, at the Service's own address.
fn by_itself(service: &Service, is_asked: impl Fn(Option<&str>, Option<&str>) -> bool) -> Vec<Served> {
    let ports = spec(service).and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let asked = ports.filter(|port| is_asked(port.name.as_deref(), port.protocol.as_deref()));
    asked.map(|port| Served { port: port.port, host: None, at: cluster_addresses(service).collect() }).collect()
}

impl Question<'_> {
    fn version(&self) -> Answer {
        let text = TXT::new(vec![SPECIFICATION.to_owned()]);
        if self.kind == RecordType::TXT {
            Answer::of(vec![record(self.name, RData::TXT(text))])
        } else {
            Answer::Nothing
        }
    }

    /// One where Services are known: others are not told from those that are not there.
    fn namespace(&self, namespace: &str) -> Answer {
        if self.known.services_of(namespace).next().is_some() { Answer::Nothing } else { Answer::NoName }
    }

    fn pod(&self, address: &str) -> Answer {
        match address.replace('-', ".").parse::<Ipv4Addr>() {
            Ok(address) => self.addresses([IpAddr::V4(address)]),
            Err(_) => Answer::NoName,
        }
    }

    fn service(&self, key: &ServiceKey) -> Answer {
        let Some(service) = self.known.service(key) else { return Answer::NoName };
        if let Some(alias) = external_name(service) {
            return Name::from_ascii(alias).map_or(Answer::Nothing, |mut alias| {
                alias.set_fqdn(true);
                Answer::Alias(alias)
            });
        }
        if is_headless(service) {
            return self.addresses(ready(self.known, key).flat_map(addresses));
        }
        self.addresses(cluster_addresses(service))
    }

    /// A name with names of ports below it.
    fn protocol(&self, key: &ServiceKey, protocol: &str) -> Answer {
        let ports = self.known.service(key).and_then(spec).and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
        let mut protocols = ports.filter(|port| port.name.is_some()).map(|port| port.protocol.as_deref());
        let is_there = protocols.any(|of| of.unwrap_or("TCP").eq_ignore_ascii_case(protocol.trim_start_matches('_')));
        if is_there { Answer::Nothing } else { Answer::NoName }
    }

    fn endpoint(&self, key: &ServiceKey, called: &str) -> Answer {
        if !self.known.service(key).is_some_and(is_headless) {
            return Answer::NoName;
        }
        let endpoints: Vec<&Endpoint> =
            ready(self.known, key).filter(|endpoint| host(endpoint).as_deref() == Some(called)).collect();
        if endpoints.is_empty() { Answer::NoName } else { self.addresses(endpoints.into_iter().flat_map(addresses)) }
    }

    /// Those of the family asked for, each once.
    fn addresses(&self, all: impl IntoIterator<Item = IpAddr>) -> Answer {
        let asked = all.into_iter().filter(|address| match self.kind {
            RecordType::A => address.is_ipv4(),
            RecordType::AAAA => address.is_ipv6(),
            _ => false,
        });
        let asked: BTreeSet<IpAddr> = asked.collect();
        Answer::of(asked.into_iter().map(|address| record(self.name, RData::from(address))).collect())
    }
}

/// The alias as a record.
pub fn alias(name: &Name, target: Name) -> Record {
    record(name, RData::CNAME(CNAME(target)))
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn key(namespace: &str, name: &str) -> ServiceKey {
    (namespace.to_owned(), name.to_owned())
}

fn spec(service: &Service) -> Option<&ServiceSpec> {
    service.spec.as_ref()
}

fn external_name(service: &Service) -> Option<&str> {
    let spec = spec(service).filter(|spec| spec.type_.as_deref() == Some("ExternalName"))?;
    spec.external_name.as_deref()
}

fn is_headless(service: &Service) -> bool {
    spec(service).and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

/// The endpoints of a Service that take requests.
fn ready<'a>(known: &'a Known, key: &ServiceKey) -> impl Iterator<Item = &'a Endpoint> {
    known.slices(key).flat_map(|slice| &slice.endpoints).filter(|endpoint| is_ready(endpoint))
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
}

fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    endpoint.addresses.iter().filter_map(|address| address.parse().ok())
}

/// How an endpoint is called: by its hostname, or by its first address where it has none.
fn host(endpoint: &Endpoint) -> Option<String> {
    let named = endpoint.hostname.clone().filter(|name| !name.is_empty());
    named.or_else(|| Some(endpoint.addresses.first()?.replace(['.', ':'], "-")))
}
