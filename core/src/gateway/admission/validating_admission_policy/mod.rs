//! Policies in expressions: what may be written, as users say it (KEP-3488).
//!
//! Policies and bindings are compiled once for each revision. What a policy may cost at a request is bounded, and nothing of
//! it reaches out: it is a function of the request and the snapshot.

mod evaluation;
mod parameters;
mod policy;

use serde_json::Value;

use self::evaluation::{Denial, denials};
use self::policy::{Binding, Policy};
use super::expressions::Scene;
use super::matching::{WithoutRules, is_exempt};
use super::revised::Revised;
use super::subject::Subject;
use super::{Admission, AdmissionRequest, Verdict};
use crate::resource::{ServedVersion, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS};
use crate::status::{Status, StatusCause, StatusDetails};

/// The kinds policies are not asked about.
const EXEMPT: [&str; 4] = [
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// Refuses, or warns of, what the policies say may not be.
pub struct ValidatingAdmissionPolicy {
    policies: Revised<Policy>,
    bindings: Revised<Binding>,
}

impl Default for ValidatingAdmissionPolicy {
    fn default() -> Self {
        Self {
            policies: Revised::new(VALIDATING_ADMISSION_POLICIES, Policy::of),
            bindings: Revised::new(VALIDATING_ADMISSION_POLICY_BINDINGS, Binding::of),
        }
    }
}

impl Admission for ValidatingAdmissionPolicy {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.snapshot.count(VALIDATING_ADMISSION_POLICY_BINDINGS) > 0
            && request.snapshot.count(VALIDATING_ADMISSION_POLICIES) > 0
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Status> {
        let subject = Subject::new(request, object);
        let mut verdict = Verdict::default();
        if is_exempt(&subject, &EXEMPT) {
            return Ok(verdict);
        }
        let bindings = self.bindings.all(request.snapshot);
        let mut refusal = None;
        for policy in self.policies.all(request.snapshot) {
            let own = bindings.iter().filter(|binding| binding.policy_name == policy.name);
            let Some(judged) = judge(&policy, own.map(|binding| &**binding), &subject) else { continue };
            verdict.warnings.extend(judged.warnings);
            refusal = refusal.or(judged.refusal);
        }
        match refusal {
            Some((message, reason)) => Err(refused(request, object, message, &reason)),
            None => Ok(verdict),
        }
    }
}

/// What a policy says by way of its bindings.
#[derive(Default)]
struct Judged {
    warnings: Vec<String>,
    /// The first refusal: its message and reason.
    refusal: Option<(String, String)>,
}

/// What a policy says to a request; `None` where it is not about such requests.
fn judge<'b>(policy: &Policy, bindings: impl Iterator<Item = &'b Binding>, subject: &Subject<'_>) -> Option<Judged> {
    let mut judged = Judged::default();
    let constraints = match &policy.constraints {
        Ok(constraints) => constraints,
        Err(why) => {
            judged.policy_fault(policy, why);
            return Some(judged);
        }
    };
    let version = constraints.matched(subject, WithoutRules::None)?;
    if let Some(kind) = &policy.parameters {
        let (group, of_group) = kind.group_version();
        if subject.request.gateway.registry().served_kind(group, of_group, &kind.kind).is_none() {
            judged.policy_fault(policy, &parameters::unknown(kind));
            return Some(judged);
        }
    }
    let scene = Scene::new(subject, version);
    for binding in bindings.filter(|binding| is_bound(binding, subject)) {
        judged.hear(policy, binding, subject, &scene);
    }
    Some(judged)
}

fn is_bound(binding: &Binding, subject: &Subject<'_>) -> bool {
    let of_version = |resources: &super::matching::Constraints| -> Option<&ServedVersion> {
        resources.matched(subject, WithoutRules::All)
    };
    binding.match_resources.as_ref().is_none_or(|resources| of_version(resources).is_some())
}

impl Judged {
    fn hear(&mut self, policy: &Policy, binding: &Binding, subject: &Subject<'_>, scene: &Scene) {
        let found = match &binding.fault {
            Some(fault) => Err(fault.clone()),
            None => parameters::parameters(subject.request, policy.parameters.as_ref(), binding.param_ref.as_ref()),
        };
        match found {
            Ok(found) => {
                for denial in found.iter().flat_map(|parameter| denials(policy, scene, parameter)) {
                    self.act(policy, binding, denial);
                }
            }
            Err(why) if policy.fails_closed => {
                self.refuse(policy, binding, &format!("failed to configure binding: {why}"), "");
            }
            Err(_) => {}
        }
    }

    /// Does what the binding says is to come of a denial. There is no audit log here: `Audit` alone lets pass.
    fn act(&mut self, policy: &Policy, binding: &Binding, denial: Denial) {
        let acts = |action: &str| binding.validation_actions.iter().any(|it| it == action);
        if denial.is_of_annotation || acts("Deny") {
            self.refuse(policy, binding, &denial.message, &denial.reason);
        }
        if !denial.is_of_annotation && acts("Warn") {
            let about = format!("ValidatingAdmissionPolicy '{}' with binding '{}'", policy.name, binding.name);
            self.warnings.push(format!("Validation failed for {about}: {}", denial.message));
        }
    }

    fn refuse(&mut self, policy: &Policy, binding: &Binding, why: &str, reason: &str) {
        let about = format!("ValidatingAdmissionPolicy '{}' with binding '{}'", policy.name, binding.name);
        self.refusal.get_or_insert_with(|| (format!("{about} denied request: {why}"), reason.to_owned()));
    }

    fn policy_fault(&mut self, policy: &Policy, why: &str) {
        if policy.fails_closed {
            let message = format!(
                "ValidatingAdmissionPolicy '{}' denied request: failed to configure policy: {why}",
                policy.name
            );
            self.refusal.get_or_insert((message, String::new()));
        }
    }
}

fn refused(request: &AdmissionRequest<'_>, object: &Value, message: String, reason: &str) -> Status {
    let (code, reason) = match reason {
        "Unauthorized" => (401, "Unauthorized"),
        "Forbidden" => (403, "Forbidden"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    let resource = request.mutation.target.resource();
    let details = StatusDetails {
        name: Subject::new(request, object).name().to_owned(),
        group: resource.group.to_owned(),
        kind: resource.plural.to_owned(),
        causes: vec![StatusCause { message: message.clone(), ..StatusCause::default() }],
        ..StatusDetails::default()
    };
    let forbidden = request.forbidden(object, message);
    Status { code, reason, ..forbidden }.with_details(details)
}
