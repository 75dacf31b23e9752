//! MutatingAdmissionPolicies: changes of what is written, as expressions.

use jiff::Timestamp;
use serde_json::Value;

use super::matching::validate_expression;
use super::policy::{default_policy, parameter_kind, validate_policy};
use super::{CATEGORIES, GROUP, MUTATING_VERSION, RequestNaming};
use crate::object::ResourceType;
use crate::resource::check::{Faults, Field};
use crate::resource::read::size;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const MUTATING_ADMISSION_POLICIES: ResourceType = ResourceType::new(GROUP, "mutatingadmissionpolicies");

/// The kinds of mutations, and the field that holds each.
const PATCH_TYPES: [(&str, &str); 2] = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];

struct MutatingPolicyStrategy;

/// What a MutatingAdmissionPolicy is.
pub(super) fn definition() -> ResourceDefinition {
    let schema = "io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicy";
    ResourceDefinition {
        scope: Scope::Cluster,
        categories: CATEGORIES,
        has_generation: true,
        ..ResourceDefinition::plain(
            MUTATING_ADMISSION_POLICIES,
            "MutatingAdmissionPolicy",
            "mutatingadmissionpolicy",
            ServedVersion::stored(GROUP, MUTATING_VERSION, schema),
            MutatingPolicyStrategy,
        )
    }
}

impl Strategy for MutatingPolicyStrategy {
    fn default(&self, object: &mut Value) {
        default_policy(object);
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        let known = validate_policy(&spec, &mut faults);
        for operation in
            spec.at("matchConstraints").at("resourceRules").items().flat_map(|it| it.at("operations").items())
        {
            if operation.text() == "DELETE" {
                faults.invalid(&operation, "may not be DELETE: what is deleted is not changed");
            }
        }
        faults.one_of(&spec.at("reinvocationPolicy"), &["IfNeeded", "Never"]);
        let mutations = spec.at("mutations");
        if mutations.count() == 0 {
            faults.required(&mutations, "mutations must contain at least one item");
        }
        mutations.items().for_each(|mutation| validate_mutation(&mutation, &known, &mut faults));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::integer("Mutations", "The number of changes."),
            Column::text("ParamKind", "The kind of its parameters."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![size(object, "/spec/mutations").into(), parameter_kind(object), age(object, now)]
    }
}

/// A mutation has what its type says, and nothing else.
fn validate_mutation(mutation: &Field<'_>, known: &[&str], faults: &mut Faults) {
    let patch_type = mutation.at("patchType");
    faults.one_of(&patch_type, &PATCH_TYPES.map(|(name, _)| name));
    for (name, field) in PATCH_TYPES {
        let patch = mutation.at(field);
        match (name == patch_type.text(), patch.is_set()) {
            (true, true) => {
                let naming = RequestNaming::Mutation(known);
                validate_expression(&patch.at("expression"), "expression is not specified", Some(naming), faults);
            }
            (true, false) => faults.required(&patch, format!("must be specified when patchType is {name}")),
            (false, true) if !patch_type.text().is_empty() => {
                faults.forbidden(&patch, format!("must not be specified when patchType is {}", patch_type.text()));
            }
            (false, _) => {}
        }
    }
}
