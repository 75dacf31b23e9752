//! What may be written, as policies say it.

use std::sync::Arc;

use serde_json::Value;

use super::binding::Binding;
use super::evaluation::{Denial, ValidatingPolicy, denials};
use super::policy::Policy;
use super::{EXEMPT, Unasked, details};
use crate::gateway::Unprepared;
use crate::gateway::admission::expressions::Scene;
use crate::gateway::admission::matching::is_exempt;
use crate::gateway::admission::revised::Revised;
use crate::gateway::admission::subject::Subject;
use crate::gateway::admission::{Admission, AdmissionRequest, Verdict};
use crate::resource::{VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS};
use crate::status::Status;

/// Refuses, or warns of, what the policies say may not be.
pub struct ValidatingAdmissionPolicy {
    policies: Revised<ValidatingPolicy>,
    bindings: Revised<Binding>,
}

impl Default for ValidatingAdmissionPolicy {
    fn default() -> Self {
        Self {
            policies: Revised::new(VALIDATING_ADMISSION_POLICIES, ValidatingPolicy::of),
            bindings: Revised::new(VALIDATING_ADMISSION_POLICY_BINDINGS, Binding::of),
        }
    }
}

impl Admission for ValidatingAdmissionPolicy {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.snapshot.count(VALIDATING_ADMISSION_POLICY_BINDINGS) > 0
            && request.snapshot.count(VALIDATING_ADMISSION_POLICIES) > 0
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        let subject = Subject::new(request, object);
        let mut verdict = Verdict::default();
        if is_exempt(&subject, &EXEMPT) {
            return Ok(verdict);
        }
        let bindings = self.bindings.all(request.snapshot);
        let mut refusal = None;
        for policy in self.policies.all(request.snapshot) {
            let judged = judge(&policy, &bindings, &subject)?;
            verdict.warnings.extend(judged.warnings);
            refusal = refusal.or(judged.refusal);
        }
        match refusal {
            Some((message, reason)) => Err(refused(request, object, message, &reason).into()),
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

/// What a policy says to a request: nothing where it is not about such requests.
fn judge(policy: &ValidatingPolicy, bindings: &[Arc<Binding>], subject: &Subject<'_>) -> Result<Judged, Unprepared> {
    let mut judged = Judged::default();
    let matched = match policy.common.matched(bindings, subject) {
        Ok(Some(matched)) => matched,
        Ok(None) => return Ok(judged),
        Err(Unasked::Unprepared(unprepared)) => return Err(unprepared),
        Err(Unasked::Fault(why)) => {
            judged.policy_fault(&policy.common, &why);
            return Ok(judged);
        }
    };
    let scene = Scene::new(subject, matched.version)?;
    for (binding, found) in matched.bindings {
        judged.hear(policy, binding, found, &scene);
    }
    Ok(judged)
}

impl Judged {
    fn hear(
        &mut self,
        policy: &ValidatingPolicy,
        binding: &Binding,
        found: Result<Vec<Value>, String>,
        scene: &Scene<'_>,
    ) {
        match found {
            Ok(found) => {
                for denial in found.iter().flat_map(|parameter| denials(policy, scene, parameter)) {
                    self.act(&policy.common, binding, denial);
                }
            }
            Err(why) if policy.common.fails_closed => {
                self.refuse(&policy.common, binding, &format!("failed to configure binding: {why}"), "");
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
    let details = details(request, object, vec![message.clone()]);
    let forbidden = request.forbidden(object, message);
    Status { code, reason, ..forbidden }.with_details(details)
}
