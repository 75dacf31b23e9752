//! Rules for environment variables and where their values come from.

use crate::object::names;
use crate::resource::check::{Faults, Field};

/// What `fieldRef` may name in a variable.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// What `resourceFieldRef` may name.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// Divisors of amounts that are not CPUs.
const UNITS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

pub(super) fn variables(variables: &Field<'_>, faults: &mut Faults) {
    for variable in variables.items() {
        faults.required_rule(&variable.at("name"), names::relaxed_env_name);
        let from = variable.at("valueFrom");
        if from.is_set() {
            value_from(&from, !variable.at("value").text().is_empty(), faults);
        }
    }
}

fn value_from(from: &Field<'_>, has_value: bool, faults: &mut Faults) {
    let found = from.which(["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"]);
    for source in &found {
        match () {
            () if source.path == from.path.child("fieldRef") => field_reference(source, &ENV_FIELDS, faults),
            () if source.path == from.path.child("resourceFieldRef") => resource_reference(source, Whose::Own, faults),
            () => key_reference(source, faults),
        }
    }
    match found.len() {
        0 => faults.invalid_hidden(
            from,
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        _ if has_value => faults.invalid_hidden(from, "may not be specified when `value` is not empty"),
        1 => {}
        _ => faults.invalid_hidden(from, "may not have more than one field specified at a time"),
    }
}

fn key_reference(reference: &Field<'_>, faults: &mut Faults) {
    faults.rule(&reference.at("name"), names::dns_1123_subdomain);
    faults.required_rule(&reference.at("key"), names::config_map_key);
}

/// A field of the pod: one of `known`, or one label or annotation.
pub(super) fn field_reference(reference: &Field<'_>, known: &[&str], faults: &mut Faults) {
    let (version, path) = (reference.at("apiVersion"), reference.at("fieldPath"));
    if version.text().is_empty() {
        return faults.required(&version, "");
    }
    if path.text().is_empty() {
        return faults.required(&path, "");
    }
    if let Some((map, key)) = path.text().strip_suffix("']").and_then(|head| head.split_once("['")) {
        let broken = match map {
            "metadata.annotations" => names::qualified_name(&key.to_lowercase()),
            "metadata.labels" => names::qualified_name(key),
            _ => vec!["does not support subscript".to_owned()],
        };
        return faults.errors.push_messages(&reference.path, key, broken);
    }
    let exists =
        ["metadata.annotations", "metadata.labels"].contains(&path.text()) || ENV_FIELDS.contains(&path.text());
    if !exists {
        return faults
            .invalid(&path, format!("error converting fieldPath: field label not supported: {}", path.text()));
    }
    faults.one_of_if_set(&path, known);
}

/// Whose resources are named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those of the container the variable belongs to.
    Own,
    /// Those of a container that must be named.
    Named,
}

/// An amount a container asks for or may use.
pub(super) fn resource_reference(reference: &Field<'_>, whose: Whose, faults: &mut Faults) {
    let resource = reference.at("resource");
    let huge = ["requests.hugepages-", "limits.hugepages-"].iter().any(|prefix| resource.text().starts_with(prefix));
    if whose == Whose::Named && reference.at("containerName").text().is_empty() {
        faults.required(&reference.at("containerName"), "");
    } else if resource.text().is_empty() {
        faults.required(&resource, "");
    } else if !huge {
        faults.one_of_if_set(&resource, &RESOURCES);
    }
    let divisor = reference.at("divisor");
    let Some(amount) = divisor.quantity().filter(|amount| !amount.is_zero()) else { return };
    let amount = amount.to_string();
    let why = match resource.text().split_once('.').map(|(_, name)| name) {
        Some("cpu") if !["1m", "1"].contains(&&*amount) => {
            "only divisor's values 1m and 1 are supported with the cpu resource".to_owned()
        }
        Some("cpu") | None => return,
        Some(_) if UNITS.contains(&&*amount) => return,
        Some("memory") => format!("only divisor's values {} are supported with the memory resource", UNITS.join(", ")),
        Some("ephemeral-storage") => format!(
            "only divisor's values {} are supported with the local ephemeral storage resource",
            UNITS.join(", ")
        ),
        Some(_) => format!("only divisor's values {} are supported with the hugepages resource", UNITS.join(", ")),
    };
    faults.errors.push(crate::object::FieldError::invalid(divisor.path, resource.text(), why));
}

pub(super) fn sources(sources: &Field<'_>, faults: &mut Faults) {
    for source in sources.items() {
        faults.optional_rule(&source.at("prefix"), names::relaxed_env_name);
        let found = source.which(["configMapRef", "secretRef"]);
        for reference in &found {
            faults.required_rule(&reference.at("name"), names::dns_1123_subdomain);
        }
        match found.len() {
            0 => faults.invalid_hidden(sources, "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => faults.invalid_hidden(sources, "may not have more than one field specified at a time"),
        }
    }
}
