//! What a policy makes of an object: an object to merge into it, or a list of operations on it.

use serde_json::Value as Json;

use super::policy::Policy;
use crate::cel::{Budget, COST_PER_OBJECT_MAX, Made, MadeType, Value};
use crate::gateway::admission::expressions::{Expression, Scene};
use crate::object::Object;
use crate::object::patch::{JsonPatch, JsonPatchError, merge_configuration};
use crate::resource::read::{items, text};
use crate::resource::{PARAMETERS, RequestNaming as Naming, ServedVersion};
use crate::schema::{self, Decoded};

/// A policy that changes, with its expressions compiled.
pub(super) struct MutatingPolicy {
    pub(super) common: Policy,
    /// Whether it wants to see what others change after it.
    pub(super) is_reinvoked: bool,
    pub(super) mutations: Vec<Mutation>,
}

/// One change.
pub(super) enum Mutation {
    /// Fields to set, as in server-side apply.
    Apply(Expression),
    /// Operations on fields.
    Json(Expression),
}

impl MutatingPolicy {
    pub(super) fn of(object: &Object) -> Self {
        let (common, (is_reinvoked, mutations)) = Policy::of(object, |spec, known| {
            let mutations = items(spec, "/mutations").map(|mutation| Mutation::of(mutation, known));
            (text(spec, "/reinvocationPolicy") == "IfNeeded", mutations.collect())
        });
        Self { common, is_reinvoked, mutations }
    }

    /// The object of a scene after a mutation, with a parameter.
    ///
    /// # Errors
    /// Why there is none, in the words of Kubernetes.
    pub(super) fn mutated(
        &self,
        mutation: &Mutation,
        scene: &Scene<'_>,
        parameter: &Json,
        version: &ServedVersion,
    ) -> Result<Json, String> {
        let (Mutation::Apply(expression) | Mutation::Json(expression)) = mutation;
        let mut budget = Budget::new(COST_PER_OBJECT_MAX);
        let variables = scene.variables().with(PARAMETERS, Value::of(parameter));
        let variables = self.common.compose(expression, variables, &mut budget);
        let value = expression.evaluate(variables, &mut budget)?;
        match mutation {
            Mutation::Apply(_) => merged(&value, scene.object(), version),
            Mutation::Json(_) => operated_on(&value, scene.object()),
        }
    }
}

impl Mutation {
    fn of(mutation: &Json, known: &[&str]) -> Self {
        let expression = |field: &str| Expression::new(text(mutation, field), Naming::Mutation(known));
        match text(mutation, "/patchType") {
            "JSONPatch" => Self::Json(expression("/jsonPatch/expression")),
            _ => Self::Apply(expression("/applyConfiguration/expression")),
        }
    }
}

fn made<'v>(value: &'v Value<'_>, of: MadeType) -> Option<&'v Made<'v>> {
    match value {
        Value::Made(made) if made.type_name == of.name => Some(made),
        _ => None,
    }
}

/// The object with what was made merged into it.
fn merged(value: &Value<'_>, object: &Json, version: &ServedVersion) -> Result<Json, String> {
    let unsupported = || format!("unsupported return type from ApplyConfiguration expression: {}", value.type_name());
    made(value, MadeType::OBJECT)
        .ok_or_else(unsupported)?
        .check_types()
        .map_err(|why| format!("type mismatch: {why}"))?;
    let untyped = |why: &dyn std::fmt::Display| {
        format!("error applying patch: failed to convert patch object to typed object: {why}")
    };
    let schemas = version.schema.reading_schema().zip(version.schema.schema());
    let (read_by, merged_by) = schemas.ok_or_else(|| untyped(&"no schema"))?;
    let configuration = value.to_json().map_err(|error| untyped(&error))?;
    let Decoded { value, unexpected } = schema::conform(&read_by, configuration).map_err(|error| untyped(&error))?;
    if let Some(unexpected) = unexpected.first() {
        return Err(untyped(unexpected));
    }
    merge_configuration(&merged_by, object, &value)
        .map_err(|error| format!("error applying patch: invalid ApplyConfiguration: {error}"))
}

/// The object after the operations. One that tests in vain takes all others with it, and is no fault.
fn operated_on(value: &Value<'_>, object: &Json) -> Result<Json, String> {
    let operations = value.items().ok_or("type mismatch: JSONPatchType.expression should evaluate to array")?;
    let operations = operations.iter().map(operation).collect::<Result<Vec<Json>, String>>()?;
    let patch = JsonPatch::from_value(operations.into()).map_err(|error| format!("JSONPath: {error}"))?;
    match patch.apply(object) {
        Err(JsonPatchError::TestFailed { .. }) => Ok(object.clone()),
        patched => patched.map_err(|error| format!("JSONPath: {error}")),
    }
}

fn operation(value: &Value<'_>) -> Result<Json, String> {
    let mismatch = || "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".to_owned();
    let made = made(value, MadeType::JSON_PATCH).ok_or_else(mismatch)?;
    if let Some(Value::Made(set)) = made.fields.get("value") {
        set.check_types().map_err(|why| format!("type mismatch: {why}"))?;
    }
    let unwritten = |why| format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}");
    value.to_json().map_err(unwritten)
}
