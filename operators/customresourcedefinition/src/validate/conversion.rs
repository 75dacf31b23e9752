//! Who turns objects of a definition from one version into another.

use std::collections::BTreeSet;

use sampan_core::object::{FieldError, names};
use sampan_core::resource::check::{Faults, Field};
use sampan_core::resource::validate_webhook_url;
use serde_json::Value;

const STRATEGIES: [&str; 2] = ["None", "Webhook"];
/// The versions of the question a webhook may be asked.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// A field of the webhook under the path Kubernetes tells of it, which is that of its internal type.
fn told<'v>(conversion: &Field<'v>, name: &'static str, value: &'v Value) -> Field<'v> {
    Field { value, path: conversion.path.child(name) }
}

fn client<'v>(conversion: &Field<'v>) -> Field<'v> {
    told(conversion, "webhookClientConfig", conversion.at("webhook").at("clientConfig").value)
}

/// Checks `spec.conversion`.
pub(super) fn validate(conversion: &Field<'_>, faults: &mut Faults) {
    if !conversion.is_set() {
        return;
    }
    let strategy = conversion.at("strategy");
    faults.one_of(&strategy, &STRATEGIES);
    let client = client(conversion);
    let versions =
        told(conversion, "conversionReviewVersions", conversion.at("webhook").at("conversionReviewVersions").value);
    if strategy.text() != "Webhook" {
        const WHY: &str = "should not be set when strategy is not set to Webhook";
        [client, versions].iter().filter(|field| field.is_set()).for_each(|field| faults.forbidden(field, WHY));
        return;
    }
    if client.is_set() {
        validate_client(&client, faults);
    } else {
        faults.required(&client, "required when strategy is set to Webhook");
    }
    validate_review_versions(&versions, faults);
}

fn validate_client(client: &Field<'_>, faults: &mut Faults) {
    let (url, service) = (client.at("url"), client.at("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => validate_webhook_url(&url, faults),
        (false, true) => validate_service(&service, faults),
        _ => faults.required(client, "exactly one of url or service is required"),
    }
}

fn validate_service(service: &Field<'_>, faults: &mut Faults) {
    faults.required_text(&service.at("name"));
    faults.required_text(&service.at("namespace"));
    let (port, path) = (service.at("port"), service.at("path"));
    if port.number().is_some_and(|port| !(1..=65_535).contains(&port)) {
        faults.invalid(&port, "port is not valid: must be between 1 and 65535, inclusive");
    }
    if matches!(path.text(), "" | "/") {
        return;
    }
    if path.text() == "//" {
        return faults.invalid(&path, "segment[0] may not be empty");
    }
    if !path.text().starts_with('/') {
        faults.invalid(&path, "must start with a '/'");
    }
    let steps = path.text().strip_prefix('/').unwrap_or(path.text());
    for (index, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            faults.invalid(&path, format!("segment[{index}] may not be empty"));
            continue;
        }
        let broken = names::dns_1123_subdomain(step);
        broken.into_iter().for_each(|why| faults.invalid(&path, format!("segment[{index}]: {why}")));
    }
}

fn validate_review_versions(versions: &Field<'_>, faults: &mut Faults) {
    if versions.count() == 0 {
        return faults.required(versions, "");
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        match seen.insert(version.text()) {
            true => faults.rule(&version, names::dns_1035_label),
            false => faults.invalid(&version, "duplicate version"),
        }
    }
    if !REVIEW_VERSIONS.iter().any(|version| seen.contains(version)) {
        faults.invalid(versions, format!("must include at least one of {}", REVIEW_VERSIONS.join(", ")));
    }
}

/// Checks who may vouch for the webhook of a definition that is in use. One that was not good before may stay so.
pub(super) fn validate_authorities(conversion: &Field<'_>, before: &Field<'_>, faults: &mut Faults) {
    let (bundle, before) = (client(conversion).at("caBundle"), client(before).at("caBundle"));
    let was_broken = !before.text().is_empty() && !sampan_core::resource::is_ca_bundle(before.text());
    if !bundle.text().is_empty() && !was_broken && !sampan_core::resource::is_ca_bundle(bundle.text()) {
        const WHY: &str = "unable to load root certificates: unable to parse bytes as PEM block";
        faults.errors.push(FieldError::invalid(bundle.path.clone(), bundle.value.clone(), WHY));
    }
}
