//! Rules for what containers and pods ask for and may use.

use crate::object::{FieldError, Quantity, names};
use crate::resource::check::{Faults, Field};

/// Resources every node has.
const OF_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Resources Kubernetes knows that are not for containers.
const OF_OTHERS: [&str; 2] = ["storage", "pods"];

pub(super) fn of_container(resources: &Field<'_>, spec: &Field<'_>, faults: &mut Faults) {
    amounts(resources, container_resource_name, faults);
    claims(resources, spec, faults);
}

/// Extra amounts a pod costs.
pub(super) fn overhead(overhead: &Field<'_>, faults: &mut Faults) {
    container_amounts(&Field { path: overhead.path.child("limits"), ..overhead.clone() }, faults);
}

/// Amounts of resources a container may have.
pub(in crate::resource::pod) fn container_amounts(amounts: &Field<'_>, faults: &mut Faults) {
    for (name, amount) in amounts.entries() {
        container_resource_name(name, &amount, faults);
        quantity(name, &amount, faults);
    }
}

/// Amounts of the pod as a whole: at least what its containers ask for together.
pub(super) fn of_pod(spec: &Field<'_>, faults: &mut Faults) {
    let resources = spec.at("resources");
    if !resources.is_set() {
        return;
    }
    if resources.at("claims").is_set() {
        faults.forbidden(&resources.at("claims"), "claims cannot be set for Resources at pod-level");
    }
    amounts(&resources, pod_resource_name, faults);
    let requests = resources.at("requests");
    for (name, request) in requests.entries() {
        let asked = spec.at("containers").items().filter_map(|container| entry(&container, "requests", name));
        let sum = asked.fold(Quantity::ZERO, |sum, amount| sum.plus(&amount));
        if request.quantity().is_some_and(|own| sum > own) {
            let why = format!("must be greater than or equal to aggregate container requests of {sum}");
            faults.invalid(&request, why);
        }
    }
    for container in spec.at("containers").items() {
        for (name, limit) in resources.at("limits").entries() {
            let (Some(own), Some(of_pod)) = (entry(&container, "limits", name), limit.quantity()) else { continue };
            if own > of_pod {
                let path = container.path.child("resources").child("limits").key(name);
                let why = format!("must be less than or equal to pod limits of {of_pod}");
                faults.errors.push(FieldError::invalid(path, own.to_string(), why));
            }
        }
    }
}

fn entry(container: &Field<'_>, list: &'static str, name: &str) -> Option<Quantity> {
    let list = container.at("resources").at(list);
    list.entries().find(|(key, _)| *key == name).and_then(|(_, amount)| amount.quantity())
}

fn amounts(resources: &Field<'_>, name_rule: fn(&str, &Field<'_>, &mut Faults), faults: &mut Faults) {
    let (limits, requests) = (resources.at("limits"), resources.at("requests"));
    for (name, amount) in limits.entries().chain(requests.entries()) {
        name_rule(name, &amount, faults);
        quantity(name, &amount, faults);
    }
    for (name, request) in requests.entries() {
        let Some(asked) = request.quantity() else { continue };
        let limit = limits.entries().find(|(key, _)| *key == name).and_then(|(_, limit)| limit.quantity());
        match limit {
            None if !may_overcommit(name) => {
                faults.required(&limits, "Limit must be set for non overcommitable resources");
            }
            Some(limit) if asked != limit && !may_overcommit(name) => {
                let why = format!("must be equal to {name} limit of {limit}");
                faults.errors.push(FieldError::invalid(requests.path.clone(), asked.to_string(), why));
            }
            Some(limit) if asked > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                faults.errors.push(FieldError::invalid(requests.path.clone(), asked.to_string(), why));
            }
            _ => {}
        }
    }
    let named = |what: fn(&str) -> bool| limits.entries().chain(requests.entries()).any(|(name, _)| what(name));
    if named(is_huge_pages) && !named(|name| name == "cpu" || name == "memory") {
        faults.forbidden(resources, "HugePages require cpu or memory");
    }
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Only what the node itself divides may be promised twice.
fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

fn is_native(name: &str) -> bool {
    name.split_once('/').is_none_or(|(domain, _)| domain == "kubernetes.io" || domain.ends_with(".kubernetes.io"))
}

fn container_resource_name(name: &str, at: &Field<'_>, faults: &mut Faults) {
    let mut broken = names::qualified_name(name);
    let known = OF_CONTAINERS.contains(&name) || is_huge_pages(name);
    if !name.contains('/') && !known {
        if !OF_OTHERS.contains(&name) {
            broken.push("must be a standard resource type or fully qualified".to_owned());
        }
        broken.push("must be a standard resource for containers".to_owned());
    } else if !is_native(name) && name.starts_with("requests.") {
        broken.push("doesn't follow extended resource name standard".to_owned());
    }
    faults.errors.push_messages(&at.path, name, broken);
}

fn pod_resource_name(name: &str, at: &Field<'_>, faults: &mut Faults) {
    if !matches!(name, "cpu" | "memory") && !is_huge_pages(name) {
        let known = ["cpu", "hugepages-", "memory"];
        faults.errors.push(FieldError::not_supported(at.path.clone(), name, &known));
    }
}

fn quantity(name: &str, amount: &Field<'_>, faults: &mut Faults) {
    let Some(quantity) = amount.quantity() else {
        let why = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        return faults.invalid(amount, why);
    };
    if quantity.is_negative() {
        faults.invalid(amount, "must be greater than or equal to 0");
    }
    if !is_native(name) && !quantity.is_whole() {
        faults.invalid(amount, "must be an integer");
    }
}

fn claims(resources: &Field<'_>, spec: &Field<'_>, faults: &mut Faults) {
    let mut seen = std::collections::BTreeSet::new();
    for claim in resources.at("claims").items() {
        let name = claim.at("name");
        if name.text().is_empty() {
            faults.required(&name, "");
            continue;
        }
        if !seen.insert((name.text(), claim.at("request").text())) {
            faults.errors.push(FieldError::duplicate(claim.path.clone(), name.text()));
        }
        if !spec.at("resourceClaims").items().any(|known| known.at("name").text() == name.text()) {
            faults.not_found(&name);
        }
    }
}
