//! Whether a custom object is what its schema asks for, in the words of Kubernetes.

use serde_json::Value;

use super::schema::{Additional, Structural};
use super::{format, rules};
use crate::status::StatusCause;

/// The most faults told of one object.
const FAULTS_MAX: usize = 100;

/// Checks a value, and its rules in CEL. What has not changed since `old` is not at fault: a schema that became stricter
/// does not keep anybody from changing something else (KEP-4008).
pub fn validate(schema: &Structural, value: &Value, old: Option<&Value>) -> Vec<StatusCause> {
    let mut faults = Faults::default();
    check(schema, value, old, "", &mut faults);
    if faults.found.is_empty() {
        faults.found = rules::check_rules(schema, value, old);
    }
    faults.found
}

/// Checks a value against a schema without its rules: a default, for one.
pub fn validate_shape(schema: &Structural, value: &Value, path: &str) -> Vec<StatusCause> {
    let mut faults = Faults::default();
    check(schema, value, None, path, &mut faults);
    faults.found
}

#[derive(Default)]
struct Faults {
    found: Vec<StatusCause>,
}

impl Faults {
    fn push(&mut self, reason: &str, path: &str, message: String) {
        if self.found.len() < FAULTS_MAX {
            let field = if path.is_empty() { "<nil>" } else { path }.to_owned();
            self.found.push(StatusCause { reason: reason.to_owned(), message, field });
        }
    }

    fn invalid(&mut self, path: &str, value: &Value, why: &str) {
        let message = format!("Invalid value: {}: {path} in body {why}", shown(value));
        self.push("FieldValueInvalid", path, message);
    }

    /// What several schemas together ask for; Kubernetes names no field.
    fn composite(&mut self, why: String) {
        self.push("FieldValueInvalid", "", format!("Invalid value: \"\": {why}"));
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "\"null\"".to_owned(),
        other => other.to_string(),
    }
}

fn check(schema: &Structural, value: &Value, old: Option<&Value>, path: &str, faults: &mut Faults) {
    if old == Some(value) || (value.is_null() && schema.nullable) {
        return;
    }
    if !is_of_type(schema, value) {
        let (expected, found) = (expected_type(schema), type_of(value));
        let message = format!("Invalid value: {found:?}: {path} in body must be of type {expected}: {found:?}");
        return faults.push("FieldValueTypeInvalid", path, message);
    }
    check_choice(schema, value, path, faults);
    match value {
        Value::String(text) => check_text(schema, value, text, path, faults),
        Value::Number(number) => check_number(schema, value, number.as_f64().unwrap_or_default(), path, faults),
        Value::Array(items) => check_list(schema, value, items, old, path, faults),
        Value::Object(fields) => check_object(schema, value, fields, old, path, faults),
        Value::Null | Value::Bool(_) => {}
    }
    check_together(schema, value, path, faults);
}

fn is_of_type(schema: &Structural, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || is_whole(value);
    }
    match schema.type_name.as_str() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_whole(value),
        "number" => value.is_number(),
        _ => true,
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn expected_type(schema: &Structural) -> &str {
    if schema.int_or_string { "integer,string" } else { &schema.type_name }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check_choice(schema: &Structural, value: &Value, path: &str, faults: &mut Faults) {
    let Some(choices) = schema.choices.as_ref().filter(|choices| !choices.contains(value)) else { return };
    let quoted = choices.iter().map(|choice| match choice {
        Value::String(text) => format!("{text:?}"),
        other => format!("\"{other}\""),
    });
    let listed: Vec<String> = quoted.collect();
    let message = format!("Unsupported value: {}: supported values: {}", shown(value), listed.join(", "));
    faults.push("FieldValueNotSupported", path, message);
}

fn check_text(schema: &Structural, value: &Value, text: &str, path: &str, faults: &mut Faults) {
    let length = || text.chars().count() as u64;
    if let Some(most) = schema.max_length.filter(|most| length() > *most) {
        let unit = if most == 1 { "byte" } else { "bytes" };
        faults.push("FieldValueTooLong", path, format!("Too long: may not be more than {most} {unit}"));
    }
    if let Some(least) = schema.min_length.filter(|least| length() < *least) {
        faults.invalid(path, value, &format!("should be at least {least} chars long"));
    }
    if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        faults.invalid(path, value, &format!("should match '{}'", pattern.text));
    }
    if !schema.format.is_empty() && !schema.int_or_string && !format::is_of(&schema.format, text) {
        faults.invalid(path, value, &format!("must be of type {}: {text:?}", schema.format));
    }
}

fn check_number(schema: &Structural, value: &Value, number: f64, path: &str, faults: &mut Faults) {
    if let Some(least) = schema.minimum {
        match schema.exclusive_minimum {
            true if number <= least => faults.invalid(path, value, &format!("should be greater than {least}")),
            false if number < least => {
                faults.invalid(path, value, &format!("should be greater than or equal to {least}"));
            }
            _ => {}
        }
    }
    if let Some(most) = schema.maximum {
        match schema.exclusive_maximum {
            true if number >= most => faults.invalid(path, value, &format!("should be less than {most}")),
            false if number > most => faults.invalid(path, value, &format!("should be less than or equal to {most}")),
            _ => {}
        }
    }
    if let Some(of) = schema.multiple_of.filter(|of| *of > 0.0) {
        let quotient = number / of;
        if (quotient - quotient.round()).abs() > 1e-9 {
            faults.invalid(path, value, &format!("should be a multiple of {of}"));
        }
    }
    let is_out = match schema.format.as_str() {
        "int32" => number < f64::from(i32::MIN) || number > f64::from(i32::MAX),
        "int64" => !value.is_i64() && number.abs() >= 9.223_372_036_854_776e18,
        _ => false,
    };
    if is_out {
        faults.invalid(path, value, &format!("must be of type {}: {value}", schema.format));
    }
}

fn check_list(
    schema: &Structural,
    value: &Value,
    items: &[Value],
    old: Option<&Value>,
    path: &str,
    faults: &mut Faults,
) {
    let count = items.len() as u64;
    if let Some(most) = schema.max_items.filter(|most| count > *most) {
        let unit = if most == 1 { "item" } else { "items" };
        faults.push("FieldValueTooMany", path, format!("Too many: {count}: must have at most {most} {unit}"));
        // Checking what differs takes time by the number of items.
        return;
    }
    if let Some(least) = schema.min_items.filter(|least| count < *least) {
        faults.invalid(path, value, &format!("should have at least {least} items"));
    }
    if schema.unique_items && !repeated(items.iter().cloned()).is_empty() {
        faults.invalid(path, value, "shouldn't contain duplicates");
    }
    check_list_type(schema, items, path, faults);
    let Some(of_items) = &schema.items else { return };
    for (index, item) in items.iter().enumerate() {
        check(of_items, item, schema.older_item(item, old), &format!("{path}[{index}]"), faults);
    }
}

fn check_list_type(schema: &Structural, items: &[Value], path: &str, faults: &mut Faults) {
    let repeated = match schema.list_type.as_str() {
        "set" => repeated(items.iter().cloned()),
        "map" => repeated(items.iter().map(|item| schema.map_key(item))),
        _ => return,
    };
    for (index, key) in repeated {
        faults.push("FieldValueDuplicate", &format!("{path}[{index}]"), format!("Duplicate value: {key}"));
    }
}

/// The items that were there before, with their places. By their text: equal values are written alike.
fn repeated(items: impl Iterator<Item = Value>) -> Vec<(usize, String)> {
    let mut seen = std::collections::BTreeSet::new();
    let texts = items.map(|item| item.to_string()).enumerate();
    texts.filter(|(_, text)| !seen.insert(text.clone())).collect()
}

fn check_object(
    schema: &Structural,
    value: &Value,
    fields: &serde_json::Map<String, Value>,
    old: Option<&Value>,
    path: &str,
    faults: &mut Faults,
) {
    let count = fields.len() as u64;
    if let Some(most) = schema.max_properties.filter(|most| count > *most) {
        let unit = if most == 1 { "item" } else { "items" };
        faults.push("FieldValueTooMany", path, format!("Too many: {count}: must have at most {most} {unit}"));
    }
    if let Some(least) = schema.min_properties.filter(|least| count < *least) {
        faults.invalid(path, value, &format!("should have at least {least} properties"));
    }
    for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
        faults.push("FieldValueRequired", &joined(path, name), "Required value".to_owned());
    }
    if schema.embedded_resource {
        for name in ["apiVersion", "kind"].iter().filter(|name| !fields.contains_key(**name)) {
            faults.push("FieldValueRequired", &joined(path, name), "Required value: must not be empty".to_owned());
        }
    }
    for (name, below) in fields {
        match schema.below(name) {
            Some(schema) => {
                let older = old.and_then(|old| old.get(name));
                check(schema, below, older, &joined(path, name), faults);
            }
            None if matches!(schema.additional_properties, Some(Additional::Allowed(false))) => {
                faults.push("FieldValueForbidden", &joined(path, name), "Forbidden".to_owned());
            }
            None => {}
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What several schemas say together of a value.
fn check_together(schema: &Structural, value: &Value, path: &str, faults: &mut Faults) {
    let holds = |schema: &Structural| validate_shape(schema, value, path).is_empty();
    let failing: Vec<Vec<StatusCause>> =
        schema.all_of.iter().map(|one| validate_shape(one, value, path)).filter(|faults| !faults.is_empty()).collect();
    if !failing.is_empty() {
        failing.into_iter().flatten().for_each(|fault| faults.push(&fault.reason, &fault.field, fault.message));
        faults.composite(format!("{path:?} must validate all the schemas (allOf)"));
    }
    if !schema.any_of.is_empty() && !schema.any_of.iter().any(holds) {
        faults.composite(format!("{path:?} must validate at least one schema (anyOf)"));
    }
    let held = schema.one_of.iter().filter(|one| holds(one)).count();
    if !schema.one_of.is_empty() && held != 1 {
        let found = if held == 0 { "none valid".to_owned() } else { format!("{held} valid alternatives") };
        faults.composite(format!("{path:?} must validate one and only one schema (oneOf). Found {found}"));
    }
    if schema.not.as_deref().is_some_and(holds) {
        faults.composite(format!("{path:?} must not validate the schema (not)"));
    }
}
