//! Values of types that expressions make themselves, as MutatingAdmissionPolicies do: `Object.spec{replicas: 3}`,
//! `JSONPatch{op: 'add', path: '/spec/replicas', value: 3}`; and what of them goes out as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Map, Number, Value as Json};

use super::value::unescaped;
use super::{Budget, COST_MAX, EvalError, Key, Value};

/// What a value costs that goes out: it is written down, however often it is meant.
const NODE_COST: u64 = 10;

/// A type expressions may make values of.
#[derive(Debug, Clone, Copy)]
pub struct MadeType {
    /// Its name.
    pub name: &'static str,
    /// Its fields; where they are not known any may be given, and each has a type of its own: `Object.spec`.
    pub fields: Option<&'static [&'static str]>,
}

impl MadeType {
    /// An object, or what of one is set.
    pub const OBJECT: Self = Self { name: "Object", fields: None };
    /// An operation on an object (RFC 6902).
    pub const JSON_PATCH: Self = Self { name: "JSONPatch", fields: Some(&["op", "path", "from", "value"]) };
    /// The types mutations are made of.
    pub const OF_MUTATIONS: &'static [Self] = &[Self::OBJECT, Self::JSON_PATCH];

    /// Whether a type of that name is this one, or that of a field of it.
    pub(super) fn names(&self, name: &str) -> bool {
        name == self.name || (self.fields.is_none() && name.split('.').next() == Some(self.name))
    }
}

/// A value that was made, of the type that was named.
#[derive(Debug, Clone)]
pub struct Made<'a> {
    /// The type, as it was named.
    pub type_name: &'a str,
    /// Its fields, by the names they have.
    pub fields: BTreeMap<String, Value<'a>>,
}

impl<'a> Made<'a> {
    pub(super) fn new(type_name: &'a str, fields: impl Iterator<Item = (&'a str, Value<'a>)>) -> Self {
        let named = |name: &str| unescaped(name).unwrap_or_else(|| name.to_owned());
        Self { type_name, fields: fields.map(|(name, value)| (named(name), value)).collect() }
    }

    /// Checks that objects in it are of the types of the fields they stand in.
    ///
    /// # Errors
    /// Of which type one is, and of which it should be.
    pub fn check_types(&self) -> Result<(), String> {
        self.check_as(self.type_name)
    }

    fn check_as(&self, expected: &str) -> Result<(), String> {
        if self.type_name != expected {
            let own = self.type_name;
            return Err(format!(
                "unexpected type name {own:?}, expected {expected:?}, which matches field name path from root Object type"
            ));
        }
        self.fields.iter().try_for_each(|(name, value)| value.check_as(&format!("{expected}.{name}")))
    }
}

impl Value<'_> {
    /// Lists and maps have no type of their own: what is in them stands where they do.
    fn check_as(&self, expected: &str) -> Result<(), String> {
        match self {
            Self::Made(made) => made.check_as(expected),
            Self::List(items) => items.iter().try_for_each(|item| item.check_as(expected)),
            Self::Map(entries) => entries.values().try_for_each(|entry| entry.check_as(expected)),
            _ => Ok(()),
        }
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// When there is none for it, or it would be too long.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        self.written(&mut Budget::new(COST_MAX))
    }

    fn written(&self, budget: &mut Budget) -> Result<Json, EvalError> {
        budget.spend(NODE_COST)?;
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(flag) => (*flag).into(),
            Self::Int(number) => (*number).into(),
            Self::Uint(number) => (*number).into(),
            Self::Double(number) => Number::from_f64(*number).map(Json::Number).ok_or_else(|| unwritten(self))?,
            Self::Text(text) => text_written(text, budget)?,
            Self::Bytes(bytes) => text_written(&base64::engine::general_purpose::STANDARD.encode(bytes), budget)?,
            Self::List(items) => items.iter().map(|item| item.written(budget)).collect::<Result<Vec<_>, _>>()?.into(),
            // A value of an object is paid for as often as it is meant.
            Self::Items(items, _) => {
                items.iter().try_for_each(|item| pay(item, budget))?;
                items.to_vec().into()
            }
            Self::Fields(fields, _) => {
                fields.values().try_for_each(|field| pay(field, budget))?;
                (*fields).clone().into()
            }
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, entry)| match key {
                    Key::Text(key) => Ok((key.to_string(), entry.written(budget)?)),
                    _ => Err(EvalError::failed("a map whose keys are no texts is no JSON")),
                });
                Json::Object(entries.collect::<Result<Map<_, _>, _>>()?)
            }
            Self::Made(made) => {
                let fields = made.fields.iter().map(|(name, field)| Ok((name.clone(), field.written(budget)?)));
                Json::Object(fields.collect::<Result<Map<_, _>, EvalError>>()?)
            }
            Self::Time(_) | Self::Duration(_) | Self::Quantity(_) => {
                super::functions::text_of(self).map(Json::String).ok_or_else(|| unwritten(self))?
            }
            _ => return Err(unwritten(self)),
        })
    }
}

fn unwritten(value: &Value<'_>) -> EvalError {
    EvalError::failed(format!("a value of type {} is no JSON", value.type_name()))
}

fn text_written(text: &str, budget: &mut Budget) -> Result<Json, EvalError> {
    budget.spend(text.len() as u64 / NODE_COST)?;
    Ok(Json::String(text.to_owned()))
}

fn pay(json: &Json, budget: &mut Budget) -> Result<(), EvalError> {
    budget.spend(NODE_COST)?;
    match json {
        Json::String(text) => budget.spend(text.len() as u64 / NODE_COST),
        Json::Array(items) => items.iter().try_for_each(|item| pay(item, budget)),
        Json::Object(fields) => fields.values().try_for_each(|field| pay(field, budget)),
        _ => Ok(()),
    }
}

impl<'a> From<Made<'a>> for Value<'a> {
    fn from(made: Made<'a>) -> Self {
        Self::Made(Arc::new(made))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Program, Variables};
    use super::*;

    fn compile(source: &str) -> Result<Program, String> {
        let compiled = Program::compile_making(source, &[("object", None)], MadeType::OF_MUTATIONS);
        compiled.map_err(|error| error.to_string())
    }

    fn evaluate(source: &str) -> Result<Json, String> {
        let object = json!({"spec": {"n": 3, "list": [1, 2]}});
        let program = compile(source)?;
        let variables = Variables::default().with("object", Value::of(&object));
        let value = program.evaluate(variables, &mut Budget::new(COST_MAX)).map_err(|error| error.to_string())?;
        if let Value::Made(made) = &value {
            made.check_types()?;
        }
        value.to_json().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_made_goes_out_as_json() {
        for (source, expect) in [
            ("Object{spec: Object.spec{n: object.spec.n + 1}}", json!({"spec": {"n": 4}})),
            ("Object{metadata: Object.metadata{labels: {'a/b': 'c'}}}", json!({"metadata": {"labels": {"a/b": "c"}}})),
            (
                "Object{spec: Object.spec{items: [Object.spec.items{name: 'x', on: true}]}}",
                json!({"spec": {"items": [{"name": "x", "on": true}]}}),
            ),
            ("Object{spec: Object.spec{?n: object.?spec.?n, ?m: object.?spec.?m}}", json!({"spec": {"n": 3}})),
            ("Object{__namespace__: 'x', a__dash__b: 1}", json!({"namespace": "x", "a-b": 1})),
            ("Object{spec: Object.spec{copy: object.spec}}", json!({"spec": {"copy": {"n": 3, "list": [1, 2]}}})),
            (
                "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b~c'), value: object.spec.list}]",
                json!([{"op": "add", "path": "/metadata/labels/a~1b~0c", "value": [1, 2]}]),
            ),
            ("Object{n: 1}.n + 1", json!(2)),
            ("has(Object{n: 1}.n) && !has(Object{n: 1}.m)", json!(true)),
            ("Object{n: 1} == Object{n: 1} && Object{n: 1} != Object{n: 2}", json!(true)),
        ] {
            assert_eq!(evaluate(source), Ok(expect), "{source}");
        }
    }

    #[test]
    fn what_is_no_type_is_not_made() {
        for (source, why) in [
            ("Thing{}", "undeclared reference to 'Thing'"),
            ("JSONPatch.spec{}", "undeclared reference to 'JSONPatch.spec'"),
            ("JSONPatch{of: 1}", "undefined field 'of'"),
            ("Object{spec: Object.spec{a: nothing}}", "undeclared reference to 'nothing'"),
            ("Object{spec: Object.status{}}", "unexpected type name \"Object.status\", expected \"Object.spec\""),
            ("Object{spec: Object.spec{a: [Object.spec{}]}}", "expected \"Object.spec.a\""),
            ("Object{at: type(1)}", "a value of type type is no JSON"),
            ("Object{by: {1: 2}}", "no texts"),
        ] {
            let fault = evaluate(source).unwrap_err();
            assert!(fault.contains(why), "{source}: {fault}");
        }
        let elsewhere = |source: &str| Program::compile(source, &[("object", None)]).map(drop).unwrap_err().to_string();
        assert!(elsewhere("Object{}").contains("undeclared reference to 'Object'"));
        assert!(elsewhere("jsonpatch.escapeKey('a')").contains("undeclared reference to 'jsonpatch'"));
    }

    #[test]
    fn what_is_meant_again_and_again_is_not_written_for_ever() {
        let doubled = (0..40).fold(Value::Int(1), |inner, _| Value::list(vec![inner.clone(), inner]));
        assert_eq!(doubled.to_json(), Err(EvalError::Cost));
        let object = json!(vec![vec!["x"; 100]; 100]);
        assert!(Value::of(&object).to_json().is_ok());
        assert_eq!(Value::list(vec![Value::of(&object); 20]).to_json(), Err(EvalError::Cost));
    }
}
