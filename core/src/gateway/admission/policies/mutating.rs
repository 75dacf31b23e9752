//! How what is written is changed, as policies say it: after the rules of admission, before webhooks.

use std::sync::Arc;

use serde_json::Value;

use super::binding::Binding;
use super::patch::{MutatingPolicy, Mutation};
use super::policy::Policy;
use super::{EXEMPT, Unasked, details};
use crate::cel::Value as CelValue;
use crate::gateway::Unprepared;
use crate::gateway::admission::AdmissionRequest;
use crate::gateway::admission::expressions::Scene;
use crate::gateway::admission::matching::{is_bookkeeping, is_exempt};
use crate::gateway::admission::revised::Revised;
use crate::gateway::admission::round::Round;
use crate::gateway::admission::subject::Subject;
use crate::gateway::preparation::Preparation;
use crate::resource::read::text;
use crate::resource::{MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS, PARAMETERS, ServedVersion};
use crate::status::Status;
use crate::store::Snapshot;

/// The policies of a cluster that change what is written.
pub(in crate::gateway) struct MutatingPolicies {
    policies: Revised<MutatingPolicy>,
    bindings: Revised<Binding>,
}

impl Default for MutatingPolicies {
    fn default() -> Self {
        Self {
            policies: Revised::new(MUTATING_ADMISSION_POLICIES, MutatingPolicy::of),
            bindings: Revised::new(MUTATING_ADMISSION_POLICY_BINDINGS, Binding::of),
        }
    }
}

/// A policy by way of a binding, with one parameter.
struct Invocation<'s> {
    policy: Arc<MutatingPolicy>,
    binding: Arc<Binding>,
    version: &'s ServedVersion,
    parameter: Value,
}

/// What tells invocations apart: the names of policy, binding and parameter.
pub(in crate::gateway) type InvocationKey = (String, String, String);

impl Invocation<'_> {
    fn key(&self) -> InvocationKey {
        let of = |field: &str| text(&self.parameter, field);
        let parameter = format!("{}/{}", of("/metadata/namespace"), of("/metadata/name"));
        (self.policy.common.name.clone(), self.binding.name.clone(), parameter)
    }

    /// Whether its conditions hold.
    fn holds(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<bool, Unasked> {
        let subject = Subject::new(request, object);
        let scene = Scene::new(&subject, self.version).map_err(Unasked::Unprepared)?;
        let variables = scene.variables().with(PARAMETERS, CelValue::of(&self.parameter));
        Ok(self.policy.common.conditions.hold(&variables)?)
    }
}

/// What went wrong where a policy does not let that pass.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn of_policy(&mut self, policy: &Policy, why: &str) {
        if policy.fails_closed {
            let message = format!("policy {:?} denied request: failed to configure policy: {why}", policy.name);
            self.0.push(message);
        }
    }

    /// A fault is told; whatever else it is must come first.
    fn of_invocation(&mut self, invocation: &Invocation<'_>, why: Unasked) -> Result<(), Unprepared> {
        match why {
            Unasked::Fault(why) => self.of_binding(&invocation.policy.common, &invocation.binding, &why),
            Unasked::Unprepared(unprepared) => return Err(unprepared),
        }
        Ok(())
    }

    fn of_binding(&mut self, policy: &Policy, binding: &Binding, why: &str) {
        if policy.fails_closed {
            let about = format!("policy '{}' with binding '{}'", policy.name, binding.name);
            self.0.push(format!("{about} denied request: {why}"));
        }
    }

    fn refuse(self, request: &AdmissionRequest<'_>, object: &Value) -> Result<(), Status> {
        let Some(message) = self.0.first().cloned() else { return Ok(()) };
        let details = details(request, object, self.0);
        Err(Status { reason: "Invalid", ..Status::forbidden(message) }.with_details(details))
    }
}

impl MutatingPolicies {
    /// Asked of every write: without policies it costs next to nothing.
    fn are_none(snapshot: &Snapshot) -> bool {
        snapshot.count(MUTATING_ADMISSION_POLICY_BINDINGS) == 0 || snapshot.count(MUTATING_ADMISSION_POLICIES) == 0
    }

    /// Who is to be asked about a request, in order.
    fn invocations<'s>(&self, subject: &Subject<'s>, faults: &mut Faults) -> Result<Vec<Invocation<'s>>, Unprepared> {
        let snapshot = subject.request.snapshot;
        let bindings = self.bindings.all(snapshot);
        let mut invocations = Vec::new();
        for policy in self.policies.all(snapshot) {
            let matched = match policy.common.matched(&bindings, subject) {
                Ok(Some(matched)) => matched,
                Ok(None) => continue,
                Err(Unasked::Unprepared(unprepared)) => return Err(unprepared),
                Err(Unasked::Fault(why)) => {
                    faults.of_policy(&policy.common, &why);
                    continue;
                }
            };
            let version = matched.version;
            for (binding, found) in matched.bindings {
                match found {
                    Ok(found) => invocations.extend(found.into_iter().map(|parameter| Invocation {
                        policy: policy.clone(),
                        binding: binding.clone(),
                        version,
                        parameter,
                    })),
                    Err(why) => {
                        faults.of_binding(&policy.common, binding, &format!("failed to configure binding: {why}"));
                    }
                }
            }
        }
        Ok(invocations)
    }
}

impl Preparation<'_> {
    /// Lets policies change the object, one after the other.
    pub(in crate::gateway) fn consult_policies(
        &self,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Round<InvocationKey>, Unprepared> {
        self.consult_policies_if(object, old, |_| true)
    }

    /// Lets those of a round that are to see the object once more change it.
    pub(in crate::gateway) fn consult_policies_again(
        &self,
        round: Round<InvocationKey>,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Unprepared> {
        let again = round.again(object);
        if again.is_empty() {
            return Ok(());
        }
        self.consult_policies_if(object, old, |key| again.contains(key)).map(drop)
    }

    fn consult_policies_if(
        &self,
        object: &mut Value,
        old: Option<&Value>,
        is_asked: impl Fn(&InvocationKey) -> bool,
    ) -> Result<Round<InvocationKey>, Unprepared> {
        let (mut round, mut faults) = (Round::default(), Faults::default());
        if MutatingPolicies::are_none(self.snapshot) {
            return Ok(round);
        }
        let request = self.request(old);
        let seen = object.clone();
        let subject = Subject::new(&request, &seen);
        // A Scale, a binding or an eviction is no object that they change.
        let is_changeable = subject.is_of_resource() && !is_exempt(&subject, &EXEMPT);
        if !is_changeable || is_bookkeeping(&subject) {
            return Ok(round);
        }
        for invocation in self.gateway.policies.invocations(&subject, &mut faults)? {
            let (policy, key) = (&invocation.policy, invocation.key());
            match invocation.holds(&request, object) {
                Ok(true) if is_asked(&key) => {}
                Ok(_) => continue,
                Err(why) => {
                    faults.of_invocation(&invocation, why)?;
                    continue;
                }
            }
            let before = object.clone();
            for mutation in &policy.mutations {
                match self.changed_by(&invocation, mutation, object, old) {
                    Ok(changed) => *object = changed,
                    Err(why) => faults.of_invocation(&invocation, why)?,
                }
            }
            round.heard(policy.is_reinvoked.then_some(key), *object != before);
        }
        faults.refuse(&request, object)?;
        Ok(round.end(object))
    }

    fn changed_by(
        &self,
        invocation: &Invocation<'_>,
        mutation: &Mutation,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<Value, Unasked> {
        let request = self.request(old);
        let subject = Subject::new(&request, object);
        let Invocation { policy, version, parameter, .. } = invocation;
        let scene = Scene::new(&subject, version).map_err(Unasked::Unprepared)?;
        let changed = policy.mutated(mutation, &scene, parameter, version)?;
        self.taken_over(object, version, changed).map_err(|unprepared| match unprepared {
            Unprepared::Refused(status) => Unasked::Fault(status.message),
            asks @ Unprepared::Asks(_) => Unasked::Unprepared(asks),
        })
    }
}
