//! Policies in expressions: what may be written (KEP-3488) and how it is changed (KEP-3962), as users say it.
//!
//! Policies and bindings are compiled once for each revision. What a policy may cost at a request is bounded, and nothing of
//! it reaches out: it is a function of the request and the snapshot.

mod binding;
mod evaluation;
mod mutating;
mod parameters;
mod patch;
mod policy;
mod validating;

pub(in crate::gateway) use mutating::MutatingPolicies;
pub(super) use parameters::ParameterKind;
pub use validating::ValidatingAdmissionPolicy;

use serde_json::Value;

use super::AdmissionRequest;
use super::subject::Subject;
use crate::gateway::Unprepared;
use crate::status::{StatusCause, StatusDetails};

/// The kinds policies are not asked about.
const EXEMPT: [&str; 4] = [
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// Why a policy is not asked, or does not answer.
enum Unasked {
    /// Something is wrong with policy or binding.
    Fault(String),
    /// What it looks at is not to be had, or not yet.
    Unprepared(Unprepared),
}

impl From<String> for Unasked {
    fn from(why: String) -> Self {
        Self::Fault(why)
    }
}

/// What a refusal says beside its message.
fn details(request: &AdmissionRequest<'_>, object: &Value, messages: Vec<String>) -> StatusDetails {
    let resource = request.mutation.target.resource();
    StatusDetails {
        name: Subject::new(request, object).name().to_owned(),
        group: resource.group.to_owned(),
        kind: resource.plural.to_owned(),
        causes: messages.into_iter().map(|message| StatusCause { message, ..StatusCause::default() }).collect(),
        ..StatusDetails::default()
    }
}
