//! Bindings of policies: where one holds, and with which parameters.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::matching::{default_scopes, default_selectors, validate_match_resources};
use super::{CATEGORIES, GROUP, MUTATING_VERSION};
use crate::object::{ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::present;
use crate::resource::label_selector::validate_label_selector;
use crate::resource::read::text;
use crate::resource::table::age;
use crate::resource::workload::shown_selector;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const VALIDATING_ADMISSION_POLICY_BINDINGS: ResourceType =
    ResourceType::new(GROUP, "validatingadmissionpolicybindings");

/// The resource type.
pub const MUTATING_ADMISSION_POLICY_BINDINGS: ResourceType =
    ResourceType::new(GROUP, "mutatingadmissionpolicybindings");

/// Whose bindings.
enum BindingStrategy {
    /// Policies that refuse: the binding says what comes of it.
    Validating,
    /// Policies that change.
    Mutating,
}

/// What a ValidatingAdmissionPolicyBinding is.
pub(super) fn validating() -> ResourceDefinition {
    let schema = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding";
    let names = ["ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybinding"];
    let version = ServedVersion::stored(GROUP, "v1", schema);
    definition(VALIDATING_ADMISSION_POLICY_BINDINGS, names, version, BindingStrategy::Validating)
}

/// What a MutatingAdmissionPolicyBinding is.
pub(super) fn mutating() -> ResourceDefinition {
    let schema = "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicyBinding";
    let names = ["MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybinding"];
    let version = ServedVersion::stored(GROUP, MUTATING_VERSION, schema);
    definition(MUTATING_ADMISSION_POLICY_BINDINGS, names, version, BindingStrategy::Mutating)
}

fn definition(
    resource: ResourceType,
    [kind, singular]: [&'static str; 2],
    version: ServedVersion,
    strategy: BindingStrategy,
) -> ResourceDefinition {
    ResourceDefinition {
        scope: Scope::Cluster,
        categories: CATEGORIES,
        has_generation: true,
        ..ResourceDefinition::plain(resource, kind, singular, version, strategy)
    }
}

impl Strategy for BindingStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(resources) = present(object, "spec").and_then(|spec| present(spec, "matchResources")) {
            default_selectors(resources);
            default_scopes(resources, "resourceRules");
            default_scopes(resources, "excludeResourceRules");
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.required_rule(&spec.at("policyName"), names::dns_1123_subdomain);
        if spec.at("paramRef").is_set() {
            validate_parameters(&spec.at("paramRef"), &mut faults);
        }
        if spec.at("matchResources").is_set() {
            validate_match_resources(&spec.at("matchResources"), &mut faults);
        }
        if matches!(self, Self::Validating) {
            validate_actions(&spec.at("validationActions"), &mut faults);
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("PolicyName", "The policy."), Column::text("ParamRef", "Its parameters."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let reference = |field: &str| text(object, &format!("/spec/paramRef/{field}"));
        let parameters = match (reference("name"), reference("namespace")) {
            ("", _) => object.pointer("/spec/paramRef/selector").map_or("<unset>".into(), shown_selector),
            (name, "") => format!("*/{name}").into(),
            (name, namespace) => format!("{namespace}/{name}").into(),
        };
        vec![text(object, "/spec/policyName").into(), parameters, age(object, now)]
    }
}

fn validate_parameters(reference: &Field<'_>, faults: &mut Faults) {
    let (name, selector) = (reference.at("name"), reference.at("selector"));
    faults.optional_rule(&name, names::path_segment);
    validate_label_selector(&selector, faults);
    match (name.text().is_empty(), selector.is_set()) {
        (false, true) => {
            for field in [&name, &selector] {
                faults.forbidden(field, "name and selector are mutually exclusive");
            }
        }
        (true, false) => faults.required(reference, "one of name or selector must be specified"),
        _ => {}
    }
    faults.one_of(&reference.at("parameterNotFoundAction"), &["Deny", "Allow"]);
}

fn validate_actions(actions: &Field<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        faults.one_of_if_set(&action, &["Audit", "Deny", "Warn"]);
        if !seen.insert(action.text()) {
            faults.duplicate(&action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        faults.invalid(actions, why);
    }
    if seen.is_empty() {
        faults.required(actions, "at least one validation action is required");
    }
}
