//! What a policy that refuses says to a request, with one parameter.

use serde_json::Value as Json;

use super::policy::Policy;
use crate::cel::{Budget, COST_PER_OBJECT_MAX, Value, Variables};
use crate::gateway::admission::expressions::{Expression, Scene};
use crate::object::Object;
use crate::resource::read::{items, text};
use crate::resource::{PARAMETERS, RequestNaming as Naming};

/// The longest message an expression may make, in bytes, as in Kubernetes.
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// A policy that refuses, with its expressions compiled.
pub(super) struct ValidatingPolicy {
    pub(super) common: Policy,
    validations: Vec<Validation>,
    annotations: Vec<Expression>,
}

/// One rule of a policy.
struct Validation {
    rule: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

impl ValidatingPolicy {
    pub(super) fn of(object: &Object) -> Self {
        let (common, (validations, annotations)) = Policy::of(object, |spec, known| {
            let annotation = |it| Expression::new(text(it, "/valueExpression"), Naming::Variables(known));
            (
                items(spec, "/validations").map(|rule| Validation::of(rule, known)).collect(),
                items(spec, "/auditAnnotations").map(annotation).collect(),
            )
        });
        Self { common, validations, annotations }
    }
}

impl Validation {
    fn of(rule: &Json, known: &[&str]) -> Self {
        let message = text(rule, "/messageExpression");
        Self {
            rule: Expression::new(text(rule, "/expression"), Naming::Variables(known)),
            message: text(rule, "/message").trim().to_owned(),
            message_expression: (!message.is_empty()).then(|| Expression::new(message, Naming::Message(known))),
            reason: text(rule, "/reason").to_owned(),
        }
    }
}

/// Why a policy refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denial {
    /// For people.
    pub(super) message: String,
    /// For machines; empty takes the default.
    pub(super) reason: String,
    /// Whether it is no rule that refuses but an annotation that fails, which no action lets pass.
    pub(super) is_of_annotation: bool,
}

impl Denial {
    fn of_fault(message: String) -> Self {
        Self { message, reason: String::new(), is_of_annotation: false }
    }
}

/// Why the policy refuses the request: nothing where it does not.
pub(super) fn denials(policy: &ValidatingPolicy, scene: &Scene, parameter: &Json) -> Vec<Denial> {
    let variables = scene.variables().with(PARAMETERS, Value::of(parameter));
    match policy.common.conditions.hold(&variables) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(why) => return policy.common.fails_closed.then(|| Denial::of_fault(why)).into_iter().collect(),
    }
    let mut evaluation = Evaluation { policy, variables, budget: Budget::new(COST_PER_OBJECT_MAX) };
    let mut found: Vec<Denial> = policy.validations.iter().filter_map(|rule| evaluation.denial(rule)).collect();
    found.extend(policy.annotations.iter().filter_map(|annotation| evaluation.annotation_fault(annotation)));
    found
}

struct Evaluation<'v> {
    policy: &'v ValidatingPolicy,
    variables: Variables<'v>,
    budget: Budget,
}

impl<'v> Evaluation<'v> {
    fn value(&mut self, expression: &'v Expression) -> Result<Value<'v>, String> {
        self.variables = self.policy.common.compose(expression, std::mem::take(&mut self.variables), &mut self.budget);
        expression.evaluate(self.variables.clone(), &mut self.budget)
    }

    fn denial(&mut self, validation: &'v Validation) -> Option<Denial> {
        match self.value(&validation.rule) {
            Ok(Value::Bool(true)) => None,
            Ok(_) => {
                let message = self.message(validation);
                Some(Denial { message, reason: validation.reason.clone(), is_of_annotation: false })
            }
            Err(why) => self.policy.common.fails_closed.then(|| Denial::of_fault(why)),
        }
    }

    /// What the rule's message comes to; else its message; else its expression.
    fn message(&mut self, validation: &'v Validation) -> String {
        let made = validation.message_expression.as_ref().and_then(|expression| self.value(expression).ok());
        let made = made.and_then(|value| match value {
            Value::Text(text) => Some(text.trim().to_owned()),
            _ => None,
        });
        let is_fit = |text: &String| !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
        made.filter(is_fit).unwrap_or_else(|| match validation.message.as_str() {
            "" => format!("failed expression: {}", validation.rule.source.trim()),
            message => message.to_owned(),
        })
    }

    /// Annotations go to nobody here, but one that fails refuses as in Kubernetes.
    fn annotation_fault(&mut self, annotation: &'v Expression) -> Option<Denial> {
        let why = match self.value(annotation) {
            Ok(Value::Text(_) | Value::Null) => return None,
            Ok(other) => format!(
                "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                annotation.source,
                other.type_name()
            ),
            Err(why) => why,
        };
        self.policy.common.fails_closed.then(|| Denial { is_of_annotation: true, ..Denial::of_fault(why) })
    }
}
