//! The rules in CEL a schema holds (KEP-2876).

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::schema::{Additional, Structural};
use crate::cel::{Budget, COST_PER_OBJECT_MAX, EvalError, Program, Typing, TypingKind, Value, Variables};
use crate::status::StatusCause;

/// A rule.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The expression as written.
    pub rule: String,
    /// What is told where it does not hold.
    #[serde(default)]
    pub message: String,
    /// An expression of what is told.
    #[serde(default)]
    pub message_expression: String,
    /// Why it does not hold, for machines.
    #[serde(default)]
    pub reason: RuleReason,
    /// The field that is at fault, below the rule's own.
    #[serde(default)]
    pub field_path: String,
    /// Whether it is looked at where there was no value before.
    #[serde(default)]
    pub optional_old_self: bool,
    /// The expressions, once their schema is known; a rule that is no expression never holds.
    #[serde(skip)]
    compiled: Option<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    rule: Program,
    message: Option<Program>,
}

/// Why a rule does not hold, for machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RuleReason {
    /// The value is wrong.
    #[default]
    Invalid,
    /// It must not be there.
    Forbidden,
    /// It is missing.
    Required,
    /// It occurs twice.
    Duplicate,
}

impl<'de> Deserialize<'de> for RuleReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        Ok(match name.as_deref() {
            Some("FieldValueForbidden") => Self::Forbidden,
            Some("FieldValueRequired") => Self::Required,
            Some("FieldValueDuplicate") => Self::Duplicate,
            _ => Self::Invalid,
        })
    }
}

impl Rule {
    /// Compiles the rule for values of a schema.
    ///
    /// # Errors
    /// Why it is no expression, and whether that of the message is meant.
    pub fn compile(&mut self, typing: &Typing) -> Result<(), RuleFault> {
        let names = [("self", Some(typing)), ("oldSelf", (!self.optional_old_self).then_some(typing))];
        let compile = |source: &str| Program::compile(source, &names).map_err(|error| error.to_string());
        let rule = compile(&self.rule).map_err(RuleFault::Rule)?;
        let message = match self.message_expression.as_str() {
            "" => None,
            source => Some(compile(source).map_err(RuleFault::Message)?),
        };
        self.compiled = Some(Compiled { rule, message });
        Ok(())
    }

    /// Whether it compares a value with what it was.
    pub fn is_transition(&self) -> bool {
        self.compiled.as_ref().is_some_and(|compiled| compiled.rule.looks_at("oldSelf"))
    }
}

/// What of a rule is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleFault {
    /// The rule.
    Rule(String),
    /// The expression of its message.
    Message(String),
}

/// What expressions know of values of a schema.
pub(super) fn typing_of(schema: &Structural) -> Typing {
    let kind = match (schema.type_name.as_str(), schema.format.as_str()) {
        ("number", _) => TypingKind::Double,
        ("string", "date-time" | "datetime" | "date") => TypingKind::Time,
        ("string", "duration") => TypingKind::Duration,
        ("string", "byte") => TypingKind::Bytes,
        _ => TypingKind::Plain,
    };
    let entries = match &schema.additional_properties {
        Some(Additional::Entries(entries)) => Some(&**entries),
        _ => None,
    };
    let mut fields: std::collections::BTreeMap<String, Typing> =
        schema.properties.iter().map(|(name, below)| (name.clone(), typing_of(below))).collect();
    if schema.embedded_resource {
        complete_object(&mut fields);
    }
    Typing {
        kind,
        fields,
        is_closed: schema.type_name == "object" && entries.is_none() && !schema.keeps_others(),
        inner: schema.items.as_deref().or(entries).map(|inner| Box::new(typing_of(inner))),
    }
}

/// What expressions know of objects as wholes.
pub(super) fn typing_of_root(schema: &Structural) -> Typing {
    let mut typing = typing_of(schema);
    complete_object(&mut typing.fields);
    typing
}

fn complete_object(fields: &mut std::collections::BTreeMap<String, Typing>) {
    for name in ["apiVersion", "kind", "metadata"] {
        fields.insert(name.to_owned(), Typing::default());
    }
}

/// Compiles every rule of a schema, and tells which are none, by the schema's own path.
pub fn compile_all(schema: &mut Structural) -> Vec<(String, RuleFault)> {
    let typing = typing_of_root(schema);
    let mut faults = Vec::new();
    compile_below(schema, &typing, "", &mut faults);
    faults
}

fn compile_below(schema: &mut Structural, typing: &Typing, path: &str, faults: &mut Vec<(String, RuleFault)>) {
    for (index, rule) in schema.rules.iter_mut().enumerate() {
        if let Err(fault) = rule.compile(typing) {
            faults.push((format!("{path}.x-kubernetes-validations[{index}]"), fault));
        }
    }
    for (name, below) in &mut schema.properties {
        let typing = typing.fields.get(name);
        compile_below(below, typing.unwrap_or(&Typing::default()), &format!("{path}.properties[{name}]"), faults);
    }
    let inner = typing.inner.as_deref();
    if let Some(items) = &mut schema.items {
        compile_below(items, inner.unwrap_or(&Typing::default()), &format!("{path}.items"), faults);
    }
    if let Some(Additional::Entries(entries)) = &mut schema.additional_properties {
        compile_below(entries, inner.unwrap_or(&Typing::default()), &format!("{path}.additionalProperties"), faults);
    }
}

/// The rules of a schema that do not hold of a value. A transition rule is looked at where there was a value before; what
/// has not changed is not looked at again.
pub fn check_rules(schema: &Structural, value: &Json, old: Option<&Json>) -> Vec<StatusCause> {
    let typing = typing_of_root(schema);
    let mut checking = Checking { budget: Budget::new(COST_PER_OBJECT_MAX), faults: Vec::new() };
    checking.below(schema, &typing, value, old, "");
    checking.faults
}

struct Checking {
    budget: Budget,
    faults: Vec<StatusCause>,
}

impl Checking {
    fn below(&mut self, schema: &Structural, typing: &Typing, value: &Json, old: Option<&Json>, path: &str) {
        if value.is_null() || old == Some(value) {
            return;
        }
        for rule in &schema.rules {
            self.rule(rule, typing, value, old, path);
        }
        match value {
            Json::Object(fields) => {
                for (name, below) in fields {
                    if let (Some(schema), Some(typing)) = (schema.below(name), field_typing(typing, name)) {
                        let old = old.and_then(|old| old.get(name));
                        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                        self.below(schema, typing, below, old, &path);
                    }
                }
            }
            Json::Array(items) => {
                let (Some(of_items), Some(typing)) = (&schema.items, typing.inner.as_deref()) else { return };
                for (index, item) in items.iter().enumerate() {
                    self.below(of_items, typing, item, schema.older_item(item, old), &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    fn rule(&mut self, rule: &Rule, typing: &Typing, value: &Json, old: Option<&Json>, path: &str) {
        let Some(compiled) = &rule.compiled else { return };
        if rule.is_transition() && old.is_none() && !rule.optional_old_self {
            return;
        }
        let mut variables = Variables::default().with("self", Value::typed(value, Some(typing)));
        let older = old.map(|old| Value::typed(old, Some(typing)));
        if rule.optional_old_self {
            variables = variables.with("oldSelf", Value::optional(older));
        } else if let Some(older) = older {
            variables = variables.with("oldSelf", older);
        }
        match compiled.rule.evaluate(variables.clone(), &mut self.budget) {
            Ok(Value::Bool(true)) => {}
            Ok(Value::Bool(false)) => {
                let message = self.message(rule, compiled, variables);
                self.fault(rule, value, path, &message);
            }
            Ok(_) => self.fault(rule, value, path, "the rule does not say whether it holds"),
            Err(EvalError::Cost) => {
                let why = "call cost exceeds limit, the rule is stopped; no further validation rules will be run";
                self.fault(rule, value, path, &format!("{why}: rule: {}", rule.rule));
            }
            Err(error) => self.fault(rule, value, path, &format!("rule evaluation error: {error}: {}", rule.rule)),
        }
    }

    fn message(&mut self, rule: &Rule, compiled: &Compiled, variables: Variables<'_>) -> String {
        if let Some(program) = &compiled.message
            && let Ok(Value::Text(text)) = program.evaluate(variables, &mut self.budget)
            && !text.trim().is_empty()
            && !text.contains('\n')
        {
            return text.trim().to_owned();
        }
        match rule.message.as_str() {
            "" => format!("failed rule: {}", rule.rule.trim()),
            message => message.to_owned(),
        }
    }

    fn fault(&mut self, rule: &Rule, value: &Json, path: &str, message: &str) {
        let field = match (path, rule.field_path.as_str()) {
            ("", "") => "<nil>".to_owned(),
            ("", below) => below.trim_start_matches('.').to_owned(),
            (path, below) => format!("{path}{below}"),
        };
        let (reason, message) = match rule.reason {
            RuleReason::Invalid => ("FieldValueInvalid", format!("Invalid value: {}: {message}", shown(value))),
            RuleReason::Forbidden => ("FieldValueForbidden", format!("Forbidden: {message}")),
            RuleReason::Required => ("FieldValueRequired", format!("Required value: {message}")),
            RuleReason::Duplicate => ("FieldValueDuplicate", format!("Duplicate value: {}: {message}", shown(value))),
        };
        self.faults.push(StatusCause { reason: reason.to_owned(), message, field });
    }
}

fn field_typing<'t>(typing: &'t Typing, name: &str) -> Option<&'t Typing> {
    typing.fields.get(name).or(typing.inner.as_deref())
}

/// Kubernetes shows objects and lists by their type alone.
fn shown(value: &Json) -> String {
    match value {
        Json::Object(_) => "\"object\"".to_owned(),
        Json::Array(_) => "\"array\"".to_owned(),
        other => other.to_string(),
    }
}
