//! Rules for the spec of a pod or a template.

use std::collections::BTreeSet;

use super::container::{self, Surroundings};
use super::{Holder, placement, resources, security, volume};
use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};

/// The limits of the C library's resolver.
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCHES_MAX_CHARACTERS: usize = 2048;

pub(super) fn pod_spec(spec: &Field<'_>, holder: Holder, faults: &mut Faults) {
    let grace = spec.at("terminationGracePeriodSeconds");
    if !grace.is_set() {
        faults.required(&grace, "");
    }
    let volumes = volume::volumes(&spec.at("volumes"), faults);
    resource_claims(&spec.at("resourceClaims"), faults);
    let around = Surroundings { spec, volumes, holder };
    container::containers(&around, faults);
    container::init_containers(&around, faults);
    container::ephemeral_containers(&around, faults);
    resources::of_pod(spec, faults);
    host_network_ports(spec, holder, faults);
    faults.one_of(&spec.at("restartPolicy"), &["Always", "OnFailure", "Never"]);
    faults.one_of(&spec.at("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    let selector = spec.at("nodeSelector");
    names::labels(selector.texts(), &selector.path, &mut faults.errors);
    security::of_pod(&spec.at("securityContext"), spec, faults);
    placement::affinity(&spec.at("affinity"), faults);
    dns_config(spec, faults);
    gates(spec, faults);
    placement::topology_spread(&spec.at("topologySpreadConstraints"), faults);
    security::host_users(spec, faults);
    names_and_numbers(spec, faults);
    placement::tolerations(&spec.at("tolerations"), faults);
    host_aliases(&spec.at("hostAliases"), faults);
    resources::overhead(&spec.at("overhead"), faults);
    let system = spec.at("os");
    if system.is_set() {
        faults.one_of(&system.at("name"), &["linux", "windows"]);
    }
}

fn names_and_numbers(spec: &Field<'_>, faults: &mut Faults) {
    for field in ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] {
        faults.optional_rule(&spec.at(field), names::dns_1123_subdomain);
    }
    for field in ["hostname", "subdomain"] {
        faults.optional_rule(&spec.at(field), names::dns_1123_label);
    }
    faults.number_rule(&spec.at("activeDeadlineSeconds"), |seconds| names::in_range(seconds, 1, i64::from(i32::MAX)));
    faults.one_of_if_set(&spec.at("preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
}

fn resource_claims(claims: &Field<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let name = claim.at("name");
        if !name.text().is_empty() && !seen.insert(name.text()) {
            faults.duplicate(&name);
        } else {
            faults.required_rule(&name, names::dns_1123_label);
        }
        let found = claim.which(["resourceClaimName", "resourceClaimTemplateName"]);
        for source in &found {
            faults.rule(source, names::dns_1123_subdomain);
        }
        match found.len() {
            0 => faults.invalid(&claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            1 => {}
            _ => faults
                .invalid(&claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"),
        }
    }
}

fn host_network_ports(spec: &Field<'_>, holder: Holder, faults: &mut Faults) {
    if !spec.at("hostNetwork").is_true() {
        return;
    }
    for port in spec.at("containers").items().flat_map(|container| container.at("ports").items()) {
        let (host, own) = (port.at("hostPort"), port.at("containerPort").number().unwrap_or_default());
        let number = host.number().unwrap_or_default();
        if (holder == Holder::Pod || number != 0) && number != own {
            let why = "must match `containerPort` when `hostNetwork` is true";
            faults.errors.push(FieldError::invalid(host.path, number, why));
        }
    }
}

fn dns_config(spec: &Field<'_>, faults: &mut Faults) {
    let (config, nameservers) = (spec.at("dnsConfig"), spec.at("dnsConfig").at("nameservers"));
    if spec.at("dnsPolicy").text() == "None" {
        if !config.is_set() {
            return faults.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if nameservers.count() == 0 {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return faults.required(&nameservers, why);
        }
    }
    if nameservers.count() > NAMESERVERS_MAX {
        faults.invalid(&nameservers, format!("must not have more than {NAMESERVERS_MAX} nameservers"));
    }
    for nameserver in nameservers.items() {
        faults.rule(&nameserver, names::ip_address);
    }
    let searches = config.at("searches");
    if searches.count() > SEARCHES_MAX {
        faults.invalid(&searches, format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let characters: usize = searches.items().map(|search| search.text().len() + 1).sum();
    if characters > SEARCHES_MAX_CHARACTERS + 1 {
        let why = format!(
            "must not have more than {SEARCHES_MAX_CHARACTERS} characters (including spaces) in the search list"
        );
        faults.invalid(&searches, why);
    }
    for search in searches.items().filter(|search| search.text() != ".") {
        faults.rule(&search, |name| {
            // An underscore is fine in a search path: names of SRV records hold some.
            names::dns_1123_subdomain(&name.strip_suffix('.').unwrap_or(name).replace('_', "a"))
        });
    }
    for option in config.at("options").items() {
        if option.at("name").text().is_empty() {
            faults.required(&option, "must not be empty");
        }
    }
}

fn gates(spec: &Field<'_>, faults: &mut Faults) {
    for gate in spec.at("readinessGates").items() {
        faults.rule(&gate.at("conditionType"), names::qualified_name);
    }
    let mut seen = BTreeSet::new();
    for gate in spec.at("schedulingGates").items() {
        let name = gate.at("name").text();
        faults.errors.push_messages(&gate.path, name, names::qualified_name(name));
        if !seen.insert(name) {
            faults.errors.push(FieldError::duplicate(gate.path, name));
        }
    }
}

fn host_aliases(aliases: &Field<'_>, faults: &mut Faults) {
    for alias in aliases.items() {
        faults.rule(&alias.at("ip"), names::ip_address);
        for hostname in alias.at("hostnames").items() {
            faults.rule(&hostname, names::dns_1123_subdomain);
        }
    }
}
