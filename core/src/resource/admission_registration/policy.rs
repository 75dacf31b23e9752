//! ValidatingAdmissionPolicies: rules for what may be written, as expressions.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::matching::{
    default_scopes, default_selectors, validate_conditions, validate_expression, validate_match_resources,
};
use super::{CATEGORIES, GROUP, RequestNaming};
use crate::object::{ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, object_at, present, set};
use crate::resource::read::{size, text};
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const VALIDATING_ADMISSION_POLICIES: ResourceType = ResourceType::new(GROUP, "validatingadmissionpolicies");

const AUDIT_ANNOTATIONS_MAX: usize = 20;

struct PolicyStrategy;

/// What a ValidatingAdmissionPolicy is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored(GROUP, "v1", "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy");
    ResourceDefinition {
        scope: Scope::Cluster,
        categories: CATEGORIES,
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(
            VALIDATING_ADMISSION_POLICIES,
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicy",
            version,
            PolicyStrategy,
        )
    }
}

impl Strategy for PolicyStrategy {
    fn default(&self, object: &mut Value) {
        default_policy(object);
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        let known = validate_policy(&spec, &mut faults);
        validate_rules(&spec, text(object, "/metadata/name"), &known, &mut faults);
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::integer("Validations", "The number of rules."),
            Column::text("ParamKind", "The kind of its parameters."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![size(object, "/spec/validations").into(), parameter_kind(object), age(object, now)]
    }
}

/// The defaults of a policy of either kind.
pub(super) fn default_policy(object: &mut Value) {
    let Some(spec) = object_at(object, "spec") else { return };
    fill(spec, "failurePolicy", "Fail");
    if let Some(constraints) = present(spec, "matchConstraints") {
        default_selectors(constraints);
        default_scopes(constraints, "resourceRules");
        default_scopes(constraints, "excludeResourceRules");
    }
}

/// Checks what policies of both kinds have; the names of their variables.
pub(super) fn validate_policy<'v>(spec: &Field<'v>, faults: &mut Faults) -> Vec<&'v str> {
    faults.one_of(&spec.at("failurePolicy"), &["Fail", "Ignore"]);
    if spec.at("paramKind").is_set() {
        validate_parameter_kind(&spec.at("paramKind"), faults);
    }
    let constraints = spec.at("matchConstraints");
    if constraints.is_set() {
        validate_match_resources(&constraints, faults);
        if constraints.at("resourceRules").count() == 0 {
            faults.required(&constraints.at("resourceRules"), "");
        }
    } else {
        faults.required(&constraints, "");
    }
    validate_conditions(&spec.at("matchConditions"), Some(RequestNaming::Parameters), faults);
    validate_variables(&spec.at("variables"), faults)
}

/// The kind of a policy's parameters, as a cell.
pub(super) fn parameter_kind(object: &Value) -> Cell {
    let parameters = object.pointer("/spec/paramKind").filter(|kind| kind.is_object());
    let parameters = parameters.map(|kind| format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")));
    parameters.unwrap_or_else(|| "<unset>".to_owned()).into()
}

fn validate_parameter_kind(parameters: &Field<'_>, faults: &mut Faults) {
    let (version, kind) = (parameters.at("apiVersion"), parameters.at("kind"));
    match version.text().split('/').collect::<Vec<_>>().as_slice() {
        [""] => faults.required(&version, ""),
        [_] => faults.rule(&version, names::dns_1035_label),
        [group, of_group] => {
            faults.rule(&version, |_| names::dns_1123_subdomain(group));
            faults.rule(&version, |_| names::dns_1035_label(of_group));
        }
        _ => faults.invalid(&version, format!("unexpected GroupVersion string: {}", version.text())),
    }
    faults.required_rule(&kind, |kind| {
        let broken = names::dns_1035_label(&kind.to_lowercase());
        broken.into_iter().map(|why| format!("may have mixed case, but should otherwise match: {why}")).collect()
    });
}

/// The names of the variables; each may look at those before it.
fn validate_variables<'v>(variables: &Field<'v>, faults: &mut Faults) -> Vec<&'v str> {
    let mut known = Vec::new();
    for variable in variables.items() {
        let name = variable.at("name");
        if name.text().trim().is_empty() {
            faults.required(&name, "name is not specified");
        } else if !names::c_identifier(name.text()).is_empty() {
            faults.invalid(&name, "must be a valid CEL identifier");
        }
        let naming = RequestNaming::Variables(&known);
        validate_expression(&variable.at("expression"), "expression is not specified", Some(naming), faults);
        known.push(name.text());
    }
    known
}

fn validate_rules(spec: &Field<'_>, policy: &str, known: &[&str], faults: &mut Faults) {
    let naming = RequestNaming::Variables(known);
    let (rules, annotations) = (spec.at("validations"), spec.at("auditAnnotations"));
    if rules.count() == 0 && annotations.count() == 0 {
        for list in [&rules, &annotations] {
            faults.required(list, "validations or auditAnnotations must contain at least one item");
        }
    }
    for rule in rules.items() {
        validate_expression(&rule.at("expression"), "expression is not specified", Some(naming), faults);
        let message = rule.at("messageExpression");
        if !message.text().trim().is_empty() {
            validate_expression(&message, "", Some(RequestNaming::Message(known)), faults);
        }
        for field in rule.which(["messageExpression", "message"]) {
            if !field.text().is_empty() && field.text().trim().is_empty() {
                faults.invalid(&field, "must be non-empty if specified");
            }
        }
        let message = rule.at("message");
        if message.text().trim().contains('\n') {
            faults.invalid(&message, "must not contain line breaks");
        }
        faults.one_of_if_set(&rule.at("reason"), &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
    }
    if annotations.count() > AUDIT_ANNOTATIONS_MAX {
        faults.invalid(&annotations, format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations"));
    }
    let mut seen = BTreeSet::new();
    for annotation in annotations.items() {
        let key = annotation.at("key");
        let full = format!("{policy}/{}", key.text());
        faults.errors.push_messages(&key.path, &full, names::qualified_name(&full));
        validate_expression(
            &annotation.at("valueExpression"),
            "valueExpression is not specified",
            Some(naming),
            faults,
        );
        if !seen.insert(key.text()) {
            faults.duplicate(&key);
        }
    }
}
