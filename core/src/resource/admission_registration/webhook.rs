//! Webhook configurations: programs that are asked before something is written.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::matching::{default_scopes, default_selectors, validate_conditions, validate_rule};
use super::{CATEGORIES, GROUP, RequestNaming};
use crate::object::{FieldError, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut, present};
use crate::resource::label_selector::validate_label_selector;
use crate::resource::read::size;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type of those that may change what is written.
pub const MUTATING_WEBHOOK_CONFIGURATIONS: ResourceType = ResourceType::new(GROUP, "mutatingwebhookconfigurations");
/// The resource type of those that may only refuse it.
pub const VALIDATING_WEBHOOK_CONFIGURATIONS: ResourceType = ResourceType::new(GROUP, "validatingwebhookconfigurations");

/// How long a webhook may take, in seconds.
const TIMEOUT_SECONDS: i64 = 10;
const HTTPS_PORT: i64 = 443;
/// The versions of the question a webhook may be asked.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// What a webhook may do beyond its answer, and still be asked: nothing, at least not in a dry run.
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];

/// What a webhook may do to what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WebhookStrategy {
    Mutating,
    Validating,
}

/// What a MutatingWebhookConfiguration is.
pub(super) fn mutating() -> ResourceDefinition {
    let schema = "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration";
    ResourceDefinition {
        scope: Scope::Cluster,
        categories: CATEGORIES,
        has_generation: true,
        ..ResourceDefinition::plain(
            MUTATING_WEBHOOK_CONFIGURATIONS,
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfiguration",
            ServedVersion::stored(GROUP, "v1", schema),
            WebhookStrategy::Mutating,
        )
    }
}

/// What a ValidatingWebhookConfiguration is.
pub(super) fn validating() -> ResourceDefinition {
    let schema = "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration";
    ResourceDefinition {
        scope: Scope::Cluster,
        categories: CATEGORIES,
        has_generation: true,
        ..ResourceDefinition::plain(
            VALIDATING_WEBHOOK_CONFIGURATIONS,
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfiguration",
            ServedVersion::stored(GROUP, "v1", schema),
            WebhookStrategy::Validating,
        )
    }
}

impl Strategy for WebhookStrategy {
    fn default(&self, object: &mut Value) {
        for webhook in items_mut(object, "webhooks") {
            fill(webhook, "failurePolicy", "Fail");
            default_selectors(webhook);
            default_scopes(webhook, "rules");
            fill(webhook, "timeoutSeconds", TIMEOUT_SECONDS);
            if *self == Self::Mutating {
                fill(webhook, "reinvocationPolicy", "Never");
            }
            if let Some(service) = present(webhook, "clientConfig").and_then(|client| present(client, "service")) {
                fill(service, "port", HTTPS_PORT);
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let mut seen = BTreeSet::new();
        for webhook in Field::root(object).at("webhooks").items() {
            let name = webhook.at("name");
            validate_webhook(&webhook, &mut faults);
            if !name.text().is_empty() && !seen.insert(name.text()) {
                faults.duplicate(&name);
            }
            faults.one_of_if_set(&webhook.at("reinvocationPolicy"), &["IfNeeded", "Never"]);
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::integer("Webhooks", "The number of webhooks."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![size(object, "/webhooks").into(), age(object, now)]
    }
}

fn validate_webhook(webhook: &Field<'_>, faults: &mut Faults) {
    validate_name(&webhook.at("name"), faults);
    webhook.at("rules").items().for_each(|rule| validate_rule(&rule, faults));
    faults.one_of_if_set(&webhook.at("failurePolicy"), &["Fail", "Ignore"]);
    faults.one_of_if_set(&webhook.at("matchPolicy"), &["Equivalent", "Exact"]);
    let (effects, timeout) = (webhook.at("sideEffects"), webhook.at("timeoutSeconds"));
    if effects.is_set() {
        faults.one_of_if_set(&effects, &SIDE_EFFECTS);
    } else {
        faults.required(&effects, "must specify one of None, NoneOnDryRun");
    }
    if timeout.number().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        faults.invalid(&timeout, "the timeout value must be between 1 and 30 seconds");
    }
    for selector in webhook.which(["namespaceSelector", "objectSelector"]) {
        validate_label_selector(&selector, faults);
    }
    validate_client(&webhook.at("clientConfig"), faults);
    validate_conditions(&webhook.at("matchConditions"), Some(RequestNaming::Request), faults);
    validate_review_versions(&webhook.at("admissionReviewVersions"), faults);
}

/// A webhook's name is a domain of at least three parts.
fn validate_name(name: &Field<'_>, faults: &mut Faults) {
    faults.required_rule(name, |value| match names::dns_1123_subdomain(value) {
        broken if broken.is_empty() && value.split('.').count() < 3 => {
            vec!["should be a domain with at least three segments separated by dots".to_owned()]
        }
        broken => broken,
    });
}

fn validate_client(client: &Field<'_>, faults: &mut Faults) {
    let (url, service) = (client.at("url"), client.at("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => validate_webhook_url(&url, faults),
        (false, true) => {
            for (field, why) in [("name", "service name is required"), ("namespace", "service namespace is required")] {
                if service.at(field).text().is_empty() {
                    faults.required(&service.at(field), why);
                }
            }
            let port = service.at("port");
            if port.number().is_some_and(|port| !(1..=65_535).contains(&port)) {
                faults.invalid(&port, "port is not valid: must be between 1 and 65535, inclusive");
            }
        }
        _ => faults.required(client, "exactly one of url or service is required"),
    }
}

/// Checks the URL of a webhook.
pub fn validate_webhook_url(url: &Field<'_>, faults: &mut Faults) {
    const FORM: &str = "desired format: https://host[/path]";
    let Some(rest) = url.text().strip_prefix("https://") else {
        let scheme = url.text().split_once("://").map_or("", |(scheme, _)| scheme);
        let why = format!("'https' is the only allowed URL scheme; {FORM}");
        return faults.errors.push(FieldError::invalid(url.path.clone(), scheme, why));
    };
    let mut wrong = |value: &str, what: &str| {
        faults.errors.push(FieldError::invalid(url.path.clone(), value, format!("{what}; {FORM}")));
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        wrong("", "host must be specified");
    }
    if host.contains('@') {
        wrong(host, "user information is not permitted in the URL");
    }
    if let Some((_, query)) = rest.split_once('?') {
        wrong(query, "query parameters are not permitted in the URL");
    }
    if let Some((_, fragment)) = rest.split_once('#') {
        wrong(fragment, "fragments are not permitted in the URL");
    }
}

fn validate_review_versions(versions: &Field<'_>, faults: &mut Faults) {
    let known = REVIEW_VERSIONS.join(", ");
    if versions.count() == 0 {
        return faults.required(versions, format!("must specify one of {known}"));
    }
    let mut seen = BTreeSet::new();
    for version in versions.items() {
        if seen.insert(version.text()) {
            faults.rule(&version, names::dns_1035_label);
        } else {
            faults.invalid(&version, "duplicate version");
        }
    }
    if !REVIEW_VERSIONS.iter().any(|version| seen.contains(version)) {
        faults.invalid(versions, format!("must include at least one of {known}"));
    }
}
