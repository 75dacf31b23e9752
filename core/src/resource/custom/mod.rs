//! Custom resource types: what a CustomResourceDefinition defines.
//!
//! A definition whose names are accepted becomes a [`ResourceDefinition`](super::ResourceDefinition) like any other
//! ([`learn()`]), so that nothing beyond this room knows the difference. What its objects may be is a [`Structural`] schema:
//! [`prune`] drops what it does not know, [`fill_defaults`] fills in what is missing, [`validate()`] checks the rest and the
//! rules in CEL. Nothing here asks the cluster anything: a definition is all there is to know.

mod conversion;
mod format;
mod learn;
mod path;
mod rules;
mod schema;
mod shape;
mod strategy;
#[cfg(test)]
mod tests;
mod validate;

pub use conversion::ConversionWebhook;
pub use format::{go_duration, is_of as has_format};
pub use learn::{Digest, LearnError, Learnt, definition_of, learn, resource_of};
pub use path::JsonPath;
pub use rules::{Rule, RuleFault, RuleReason, check_rules, compile_all};
pub use schema::{Additional, Pattern, Structural};
pub use shape::{fill_defaults, prune};
pub use validate::{validate, validate_shape};

use crate::object::ResourceType;

/// The resource type of the definitions themselves.
pub const CUSTOM_RESOURCE_DEFINITIONS: ResourceType =
    ResourceType::new("apiextensions.k8s.io", "customresourcedefinitions");
