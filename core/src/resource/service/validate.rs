//! The rules Services follow.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{addresses, is_external, is_headless, is_health_checked, is_load_balancer};
use crate::object::{FieldError, names};
use crate::resource::address::{address_range, endpoint_address, validate_load_balancers};
use crate::resource::check::{Faults, Field};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// The longest time a client is sent to the same pod, in seconds: a day.
const AFFINITY_SECONDS_MAX: i64 = 86_400;

pub(super) fn service(service: &Field<'_>, faults: &mut Faults) {
    let spec = service.at("spec");
    match spec.at("type").text() {
        "ExternalName" => external_name(&spec, faults),
        kind => {
            if spec.at("ports").count() == 0 && !is_headless(&spec) {
                faults.required(&spec.at("ports"), "");
            }
            if is_headless(&spec) && matches!(kind, "LoadBalancer" | "NodePort") {
                let first = spec.at("clusterIPs");
                let why = format!("may not be set to 'None' for {kind} services");
                faults.errors.push(FieldError::invalid(first.path.index(0), "None", why));
            }
            addresses::validate(&spec, faults);
        }
    }
    ports(&spec, faults);
    let selector = spec.at("selector");
    names::labels(selector.texts(), &selector.path, &mut faults.errors);
    affinity(&spec, faults);
    for ip in spec.at("externalIPs").items() {
        faults.rule(&ip, |value| match names::ip_address(value) {
            faults if faults.is_empty() => endpoint_address(value),
            faults => faults,
        });
    }
    faults.one_of(&spec.at("type"), &TYPES);
    load_balancer(&spec, faults);
    traffic(&spec, faults);
}

fn external_name(spec: &Field<'_>, faults: &mut Faults) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let set = spec.at(field);
        if set.count() > 0 || !set.text().is_empty() {
            faults.forbidden(&set, "may not be set for ExternalName services");
        }
    }
    let name = spec.at("externalName");
    match name.text().strip_suffix('.').unwrap_or(name.text()) {
        "" => faults.required(&name, ""),
        domain => faults.errors.push_messages(&name.path, domain, names::dns_1123_subdomain(domain)),
    }
}

fn ports(spec: &Field<'_>, faults: &mut Faults) {
    let (list, within) = (spec.at("ports"), spec.at("type").text() == "ClusterIP");
    let (mut names, mut node_ports, mut numbers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for item in list.items() {
        port(&item, list.count() > 1, &mut names, faults);
        let (protocol, node_port) = (item.at("protocol").text(), item.at("nodePort"));
        let number = node_port.number().unwrap_or_default();
        if number != 0 && within {
            faults.forbidden(&node_port, "may not be used when `type` is 'ClusterIP'");
        }
        if number != 0 && !node_ports.insert((protocol, number)) {
            faults.duplicate(&node_port);
        }
        if !numbers.insert((protocol, item.at("port").number())) {
            faults.duplicate(&item);
        }
    }
}

/// A port; one of several has a name of its own.
fn port<'v>(port: &Field<'v>, one_of_several: bool, seen: &mut BTreeSet<&'v str>, faults: &mut Faults) {
    let name = port.at("name");
    if one_of_several && name.text().is_empty() {
        faults.required(&name, "");
    }
    faults.optional_rule(&name, names::dns_1123_label);
    if !name.text().is_empty() && !seen.insert(name.text()) {
        faults.duplicate(&name);
    }
    faults.number_rule(&port.at("port"), names::port_number);
    faults.one_of(&port.at("protocol"), &PROTOCOLS);
    let target = port.at("targetPort");
    match target.value {
        Value::String(_) => faults.rule(&target, names::port_name),
        _ => faults.number_rule(&target, names::port_number),
    }
    faults.optional_rule(&port.at("appProtocol"), names::qualified_name);
}

fn affinity(spec: &Field<'_>, faults: &mut Faults) {
    let (affinity, config) = (spec.at("sessionAffinity"), spec.at("sessionAffinityConfig"));
    faults.one_of(&affinity, &["ClientIP", "None"]);
    let seconds = config.at("clientIP").at("timeoutSeconds");
    match affinity.text() {
        "ClientIP" if !seconds.is_set() => faults.required(&config, "when session affinity type is ClientIP"),
        "ClientIP" if !(1..=AFFINITY_SECONDS_MAX).contains(&seconds.number().unwrap_or_default()) => {
            faults.invalid(&seconds, format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"));
        }
        "None" if config.is_set() => faults.forbidden(&config, "must not be set when session affinity is None"),
        _ => {}
    }
}

fn load_balancer(spec: &Field<'_>, faults: &mut Faults) {
    const ELSEWHERE: &str = "may only be used when `type` is 'LoadBalancer'";
    let (ranges, class) = (spec.at("loadBalancerSourceRanges"), spec.at("loadBalancerClass"));
    let shown = Field { path: spec.path.child("LoadBalancerSourceRanges"), ..ranges };
    if !is_load_balancer(spec) {
        if shown.count() > 0 {
            faults.forbidden(&shown, ELSEWHERE);
        }
        for field in spec.which(["allocateLoadBalancerNodePorts", "loadBalancerClass"]) {
            faults.forbidden(&field, ELSEWHERE);
        }
    } else if class.is_set() {
        faults.rule(&class, names::qualified_name);
    }
    for range in shown.items() {
        let range_text = range.text().trim();
        faults.errors.push_messages(&range.path, range_text, address_range(range_text));
    }
}

fn traffic(spec: &Field<'_>, faults: &mut Faults) {
    let (external, internal) = (spec.at("externalTrafficPolicy"), spec.at("internalTrafficPolicy"));
    if is_external(spec) {
        faults.one_of(&external, &["Cluster", "Local"]);
    } else if !external.text().is_empty() {
        faults.invalid(&external, "may only be set for externally-accessible services");
    }
    let check = spec.at("healthCheckNodePort");
    let number = check.number().unwrap_or_default();
    if is_health_checked(spec) && number != 0 {
        faults.number_rule(&check, names::port_number);
    } else if number != 0 {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        faults.invalid(&check, why);
    }
    faults.one_of_if_set(&internal, &["Cluster", "Local"]);
    let distribution = spec.at("trafficDistribution");
    faults.one_of_if_set(&distribution, &["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

/// What a load balancer was told it keeps.
pub(super) fn update(spec: &Field<'_>, before: &Field<'_>, faults: &mut Faults) {
    let class = spec.at("loadBalancerClass");
    if is_load_balancer(spec) && is_load_balancer(before) && class.value != before.at("loadBalancerClass").value {
        faults.invalid(&class, "may not change once set");
    }
    if is_health_checked(spec) && is_health_checked(before) {
        faults.frozen(&spec.at("healthCheckNodePort"), &before.at("healthCheckNodePort"), "field is immutable");
    }
}

pub(super) fn status(service: &Field<'_>, faults: &mut Faults) {
    let balancers = service.at("status").at("loadBalancer").at("ingress");
    if !is_load_balancer(&service.at("spec")) && balancers.count() > 0 {
        return faults.forbidden(&balancers, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    validate_load_balancers(&balancers, faults);
    for balancer in balancers.items() {
        let (ip, mode) = (balancer.at("ip"), balancer.at("ipMode"));
        match (ip.text(), mode.text()) {
            ("", "") => {}
            ("", _) => faults.forbidden(&mode, "may not be specified when `ip` is not set"),
            (_, "") => faults.required(&mode, "must be specified when `ip` is set"),
            _ => faults.one_of_if_set(&mode, &["Proxy", "VIP"]),
        }
    }
}
