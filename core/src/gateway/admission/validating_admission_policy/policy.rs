//! Policies and bindings, ready to be asked.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::cel::{Budget, EvalError, Variables};
use crate::gateway::admission::expressions::{Conditions, Expression};
use crate::gateway::admission::matching::Constraints;
use crate::object::Object;
use crate::resource::RequestNaming as Naming;
use crate::resource::read::{items, text};

/// A policy with its expressions compiled.
pub(super) struct Policy {
    pub(super) name: String,
    /// What it is about, or why the policy cannot be read.
    pub(super) constraints: Result<Constraints, String>,
    pub(super) conditions: Conditions,
    /// The kind of its parameters.
    pub(super) parameters: Option<ParameterKind>,
    /// Whether what goes wrong refuses the request.
    pub(super) fails_closed: bool,
    pub(super) validations: Vec<Validation>,
    pub(super) annotations: Vec<Expression>,
    variables: Vec<(String, Expression)>,
}

/// The kind of a policy's parameters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParameterKind {
    api_version: String,
    pub(super) kind: String,
}

/// One rule of a policy.
pub(super) struct Validation {
    pub(super) rule: Expression,
    pub(super) message: String,
    pub(super) message_expression: Option<Expression>,
    pub(super) reason: String,
}

/// Where a policy holds, with which parameters, and what comes of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Binding {
    #[serde(skip)]
    pub(super) name: String,
    pub(super) policy_name: String,
    pub(super) match_resources: Option<Constraints>,
    pub(super) param_ref: Option<ParameterReference>,
    pub(super) validation_actions: Vec<String>,
    /// Why it cannot be read.
    #[serde(skip)]
    pub(super) fault: Option<String>,
}

/// Which objects are parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ParameterReference {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) selector: Option<Json>,
    pub(super) parameter_not_found_action: String,
}

impl Policy {
    pub(super) fn of(object: &Object) -> Self {
        let whole = object.value();
        let spec = whole.get("spec").unwrap_or(&Json::Null);
        let (mut variables, mut known) = (Vec::new(), Vec::new());
        for variable in items(spec, "/variables") {
            let (name, source) = (text(variable, "/name"), text(variable, "/expression"));
            variables.push((name.to_owned(), Expression::new(source, Naming::Variables(&known))));
            known.push(name);
        }
        let naming = Naming::Variables(&known);
        let constraints = serde_json::from_value(spec.get("matchConstraints").cloned().unwrap_or_default());
        let parameters = spec.get("paramKind").map(|kind| serde_json::from_value(kind.clone())).transpose();
        let (constraints, parameters) = match (constraints, parameters) {
            (Ok(constraints), Ok(parameters)) => (Ok(constraints), parameters),
            (Err(error), _) | (_, Err(error)) => (Err(error.to_string()), None),
        };
        Self {
            name: object.key().name.to_string(),
            constraints,
            conditions: Conditions::of(spec, Naming::Parameters),
            parameters,
            fails_closed: text(spec, "/failurePolicy") != "Ignore",
            validations: items(spec, "/validations").map(|rule| Validation::of(rule, naming)).collect(),
            annotations: items(spec, "/auditAnnotations")
                .map(|it| Expression::new(text(it, "/valueExpression"), naming))
                .collect(),
            variables,
        }
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

impl Validation {
    fn of(rule: &Json, naming: Naming<'_>) -> Self {
        let message = text(rule, "/messageExpression");
        Self {
            rule: Expression::new(text(rule, "/expression"), naming),
            message: text(rule, "/message").trim().to_owned(),
            message_expression: (!message.is_empty()).then(|| Expression::new(message, naming)),
            reason: text(rule, "/reason").to_owned(),
        }
    }
}

impl Binding {
    pub(super) fn of(object: &Object) -> Self {
        let spec = object.value().get_mut("spec").map(Json::take).unwrap_or_default();
        let policy_name = text(&spec, "/policyName").to_owned();
        let binding = serde_json::from_value(spec);
        let binding =
            binding.unwrap_or_else(|error| Self { fault: Some(error.to_string()), policy_name, ..Self::default() });
        Self { name: object.key().name.to_string(), ..binding }
    }
}

impl ParameterKind {
    /// Group and version.
    pub(super) fn group_version(&self) -> (&str, &str) {
        self.api_version.split_once('/').unwrap_or(("", &self.api_version))
    }

    /// As messages name it.
    pub(super) fn shown(&self) -> String {
        let (group, version) = self.group_version();
        format!("{group}/{version}, Kind={}", self.kind)
    }
}
