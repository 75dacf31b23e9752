//! Policies, ready to be asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::binding::Binding;
use super::{ParameterKind, Unasked, parameters};
use crate::cel::{Budget, EvalError, Variables};
use crate::gateway::admission::expressions::{Conditions, Expression};
use crate::gateway::admission::matching::{Constraints, WithoutRules};
use crate::gateway::admission::subject::Subject;
use crate::object::Object;
use crate::resource::read::{items, text};
use crate::resource::{RequestNaming as Naming, ServedVersion};

/// What policies of both kinds have, with its expressions compiled.
pub(super) struct Policy {
    pub(super) name: String,
    /// What it is about, or why the policy cannot be read.
    constraints: Result<Constraints, String>,
    pub(super) conditions: Conditions,
    /// The kind of its parameters.
    parameters: Option<ParameterKind>,
    /// Whether what goes wrong refuses the request.
    pub(super) fails_closed: bool,
    variables: Vec<(String, Expression)>,
}

/// How a policy is asked about a request.
pub(super) struct Matched<'s, 'b> {
    /// The version the request is seen in.
    pub(super) version: &'s ServedVersion,
    /// The bindings that hold, with their parameters, or why they have none.
    pub(super) bindings: Vec<(&'b Arc<Binding>, Result<Vec<Json>, String>)>,
}

impl Policy {
    /// The policy, and its rules, as read from its spec and the names of its variables.
    pub(super) fn of<Rules>(object: &Object, rules: impl FnOnce(&Json, &[&str]) -> Rules) -> (Self, Rules) {
        let whole = object.value();
        let spec = whole.get("spec").unwrap_or(&Json::Null);
        let (mut variables, mut known) = (Vec::new(), Vec::new());
        for variable in items(spec, "/variables") {
            let (name, source) = (text(variable, "/name"), text(variable, "/expression"));
            variables.push((name.to_owned(), Expression::new(source, Naming::Variables(&known))));
            known.push(name);
        }
        let rules = rules(spec, &known);
        let constraints = serde_json::from_value(spec.get("matchConstraints").cloned().unwrap_or_default());
        let (constraints, parameters) = match (constraints, ParameterKind::of(spec)) {
            (Ok(constraints), Ok(parameters)) => (Ok(constraints), parameters),
            (Err(error), _) | (_, Err(error)) => (Err(error.to_string()), None),
        };
        let policy = Self {
            name: object.key().name.to_string(),
            constraints,
            conditions: Conditions::of(spec, Naming::Parameters),
            parameters,
            fails_closed: text(spec, "/failurePolicy") != "Ignore",
            variables,
        };
        (policy, rules)
    }

    /// The version in which a request is meant, and its bindings that hold for it, each with what its expressions see as
    /// `params`; `None` where it is not about such requests.
    ///
    /// # Errors
    /// Why it has no say about anything.
    pub(super) fn matched<'s, 'b>(
        &self,
        bindings: &'b [Arc<Binding>],
        subject: &Subject<'s>,
    ) -> Result<Option<Matched<'s, 'b>>, Unasked> {
        let constraints = self.constraints.as_ref().map_err(Clone::clone)?;
        let Some(version) = constraints.matched(subject, WithoutRules::None) else { return Ok(None) };
        if let Some(kind) = &self.parameters {
            kind.served(&subject.request.gateway.registry())?;
        }
        let mut matched = Matched { version, bindings: Vec::new() };
        for binding in bindings.iter().filter(|binding| binding.policy_name == self.name && binding.holds(subject)) {
            let found = match &binding.fault {
                Some(fault) => Err(fault.clone().into()),
                None => parameters::parameters(subject.request, self.parameters.as_ref(), binding.param_ref.as_ref()),
            };
            let found = match found {
                Ok(found) => Ok(found),
                Err(Unasked::Fault(why)) => Err(why),
                Err(unprepared) => return Err(unprepared),
            };
            matched.bindings.push((binding, found));
        }
        Ok(Some(matched))
    }

    /// Adds what the variables come to that an expression looks at, itself or by way of others. Later ones rest on earlier
    /// ones alone, so none waits for itself; a fault is kept for who looks at it.
    pub(super) fn compose<'v>(
        &'v self,
        expression: &'v Expression,
        mut variables: Variables<'v>,
        budget: &mut Budget,
    ) -> Variables<'v> {
        let looked_at =
            |expression: &'v Expression| expression.program().map(|it| it.composed_of()).unwrap_or_default();
        let mut wanted: BTreeSet<&str> = looked_at(expression);
        for (name, variable) in self.variables.iter().rev() {
            if wanted.contains(name.as_str()) {
                wanted.extend(looked_at(variable));
            }
        }
        for (name, variable) in &self.variables {
            if wanted.contains(name.as_str()) && !variables.is_composed(name) {
                let value = match variable.program() {
                    Some(program) => program.evaluate(variables.clone(), budget),
                    None => Err(EvalError::Failed(format!("variable '{name}' does not compile"))),
                };
                variables = variables.composed(name, value);
            }
        }
        variables
    }
}
