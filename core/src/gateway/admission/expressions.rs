//! Expressions on a request: what they may name, and what they come to.

use serde_json::Value as Json;

use super::rights::Rights;
use super::subject::Subject;
use crate::cel::{Authorizer, Budget, EvalError, Program, Value, Variables};
use crate::gateway::Unprepared;
use crate::resource::fill::set;
use crate::resource::read::{items, text};
use crate::resource::{AUTHORIZER, REQUEST_NAMES, RequestNaming as Naming, ServedVersion, compile_on_request};

/// What the conditions of one webhook or policy may cost together, as in Kubernetes.
const CONDITIONS_COST_MAX: u64 = 2_500_000;

/// An expression as stored. One that is none has no value: what comes of that is its owner's to say.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) source: String,
    program: Result<Program, String>,
}

impl Expression {
    pub(super) fn new(source: &str, naming: Naming<'_>) -> Self {
        Self { source: source.to_owned(), program: compile_on_request(source, naming) }
    }

    pub(super) fn program(&self) -> Option<&Program> {
        self.program.as_ref().ok()
    }

    /// Its value, or why it has none in the words of Kubernetes.
    pub(super) fn evaluate<'v>(&'v self, variables: Variables<'v>, budget: &mut Budget) -> Result<Value<'v>, String> {
        let program = self.program.as_ref().map_err(|why| format!("compilation error: {why}"))?;
        program.evaluate(variables, budget).map_err(|error| self.failed(&error, *budget))
    }

    fn failed(&self, error: &EvalError, budget: Budget) -> String {
        let why = match error {
            EvalError::Cost if budget.left() == 0 => {
                return "validation failed due to running out of cost budget, no further validation rules will be run"
                    .to_owned();
            }
            EvalError::Cost => "operation cancelled: actual cost limit exceeded",
            EvalError::Failed(why) => why,
        };
        format!("expression '{}' resulted in error: {why}", self.source)
    }
}

/// What the expressions on one request look at.
pub(super) struct Scene<'a> {
    object: Json,
    old: Json,
    request: Json,
    namespace: Json,
    rights: Rights<'a>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(subject: &Subject<'a>, version: &ServedVersion) -> Result<Self, Unprepared> {
        Ok(Self {
            rights: Rights::new(subject, version),
            object: subject.object_in(version)?,
            old: subject.old_in(version)?,
            request: subject.asked(version),
            namespace: subject.namespace_object(),
        })
    }

    /// The object in the version it is seen in.
    pub(super) fn object(&self) -> &Json {
        &self.object
    }

    /// The request, with its objects, as a webhook is asked about it.
    pub(super) fn into_request(self) -> Json {
        let Self { object, old, mut request, .. } = self;
        set(&mut request, "object", object);
        set(&mut request, "oldObject", old);
        request
    }

    pub(super) fn variables(&self) -> Variables<'_> {
        let [object, old, request, namespace] = REQUEST_NAMES;
        Variables::default()
            .with(object, Value::of(&self.object))
            .with(old, Value::of(&self.old))
            .with(request, Value::of(&self.request))
            .with(namespace, Value::of(&self.namespace))
            .with(AUTHORIZER, Value::Authorizer(Authorizer::of(&self.rights)))
    }
}

/// Expressions that must all hold for their owner to have a say.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<Expression>);

impl Conditions {
    /// Those of `/matchConditions` of a webhook or of a policy's spec.
    pub(super) fn of(owner: &Json, naming: Naming<'_>) -> Self {
        Self(items(owner, "/matchConditions").map(|it| Expression::new(text(it, "/expression"), naming)).collect())
    }

    /// Whether all hold. One that does not decides, whatever is wrong with others.
    ///
    /// # Errors
    /// What is wrong where none decides.
    pub(super) fn hold(&self, variables: &Variables<'_>) -> Result<bool, String> {
        let mut budget = Budget::new(CONDITIONS_COST_MAX);
        let mut faults = Vec::new();
        for condition in &self.0 {
            match condition.evaluate(variables.clone(), &mut budget) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(why) => faults.push(why),
            }
        }
        match faults.as_slice() {
            [] => Ok(true),
            [only] => Err(only.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }
}
