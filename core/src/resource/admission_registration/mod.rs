//! The kinds of `admissionregistration.k8s.io`: who else is asked before something is written.
//!
//! Expressions of policies are compiled when they are written, so that one that is none is refused with its field; those of
//! webhooks are checked for being there.

mod binding;
mod expression;
mod matching;
mod mutating_policy;
mod policy;
mod webhook;

use super::ResourceDefinition;

pub use binding::{MUTATING_ADMISSION_POLICY_BINDINGS, VALIDATING_ADMISSION_POLICY_BINDINGS};
pub(crate) use expression::{AUTHORIZER, PARAMETERS, REQUEST_NAMES, RequestNaming, compile_on_request};
pub use mutating_policy::MUTATING_ADMISSION_POLICIES;
pub use policy::VALIDATING_ADMISSION_POLICIES;
pub use webhook::{MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS, validate_webhook_url};

/// The API group.
const GROUP: &str = "admissionregistration.k8s.io";
/// The version policies that change are spoken in.
const MUTATING_VERSION: &str = "v1beta1";
/// What these kinds are listed under.
const CATEGORIES: &[&str] = &["api-extensions"];

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 6] {
    [
        webhook::mutating(),
        webhook::validating(),
        policy::definition(),
        binding::validating(),
        mutating_policy::definition(),
        binding::mutating(),
    ]
}
