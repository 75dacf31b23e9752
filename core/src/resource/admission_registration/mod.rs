//! The kinds of `admissionregistration.k8s.io/v1`: who else is asked before something is written.
//!
//! Expressions of policies are compiled when they are written, so that one that is none is refused with its field; those of
//! webhooks are checked for being there.

mod binding;
mod expression;
mod matching;
mod policy;
mod webhook;

use super::ResourceDefinition;

pub use binding::VALIDATING_ADMISSION_POLICY_BINDINGS;
pub(crate) use expression::{PARAMETERS, REQUEST_NAMES, RequestNaming, compile_on_request};
pub use policy::VALIDATING_ADMISSION_POLICIES;
pub use webhook::{MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS};

/// The API group.
const GROUP: &str = "admissionregistration.k8s.io";
/// What these kinds are listed under.
const CATEGORIES: &[&str] = &["api-extensions"];

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 4] {
    [webhook::mutating(), webhook::validating(), policy::definition(), binding::definition()]
}
