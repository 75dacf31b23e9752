//! From bytes, or a value of unknown origin, to a value of a schema.

use std::cell::RefCell;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::scalar::Misfit;
use super::{Field, ObjectSchema, Rest, Schema, Shape};
use crate::object::FieldPath;

/// How deep values may nest. Kubernetes' own types stay below 30; a schema inside a CustomResourceDefinition needs more.
const MAX_DEPTH: u16 = 120;
/// How many unexpected fields are reported, as in Kubernetes.
const MAX_UNEXPECTED: usize = 100;

/// A value of its schema: types are right, unknown fields and nulls are gone.
#[derive(Debug)]
pub struct Decoded {
    /// The value.
    pub value: Value,
    /// What was dropped: to refuse ([`strict_decoding_error`]), to warn about, or to ignore, as the request asks.
    pub unexpected: Vec<Unexpected>,
}

/// A field that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unexpected {
    /// The schema has no such field.
    Unknown(FieldPath),
    /// The field occurs twice; the last value counts.
    Duplicate(FieldPath),
}

impl std::fmt::Display for Unexpected {
    /// The text of a warning: `unknown field "spec.foo"`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field \"{path}\""),
            Self::Duplicate(path) => write!(f, "duplicate field \"{path}\""),
        }
    }
}

/// The message with which strict field validation refuses a request.
pub fn strict_decoding_error(unexpected: &[Unexpected]) -> String {
    let listed: Vec<String> = unexpected.iter().map(ToString::to_string).collect();
    format!("strict decoding error: {}", listed.join(", "))
}

/// Why something is no value of its schema. The text names the place and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON.
    #[error("invalid JSON: {0}")]
    Syntax(String),
    /// A value is of another type.
    #[error("{}expected {expected}, found {found}", prefix(path))]
    Type {
        /// Where.
        path: FieldPath,
        /// The type of the schema.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A value is of the right type and still wrong.
    #[error("{}{reason}, found {found}", prefix(path))]
    Value {
        /// Where.
        path: FieldPath,
        /// What was expected.
        reason: String,
        /// What stands there.
        found: String,
    },
    /// Values nest too deeply.
    #[error("{path}: nested more than {MAX_DEPTH} levels deep")]
    Depth {
        /// Where.
        path: FieldPath,
    },
}

impl DecodeError {
    /// The field at fault, where it is one.
    pub fn path(&self) -> Option<&FieldPath> {
        match self {
            Self::Syntax(_) => None,
            Self::Type { path, .. } | Self::Value { path, .. } | Self::Depth { path } => Some(path),
        }
    }
}

fn prefix(path: &FieldPath) -> String {
    if path.is_root() { String::new() } else { format!("{path}: ") }
}

/// Reads JSON. The size is the caller's to limit, the depth is limited here.
///
/// Null stands for an absent field; in lists and maps for the zero of the type. A whole number may be written `3.0`, a
/// quantity as a number. Times are brought to UTC. Defaults are not applied.
///
/// # Errors
/// When the bytes are no JSON object, or a value does not fit the schema.
pub fn decode(schema: &Schema, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let findings = Findings::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = Place::root(&findings, schema).deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    findings.conclude(value)
}

/// Brings a JSON value, or a reference to one, to its schema, as [`decode`] does with bytes.
///
/// # Errors
/// When it is no object, or a part of it does not fit the schema.
pub fn conform<'v>(
    schema: &Schema,
    value: impl Deserializer<'v, Error = serde_json::Error>,
) -> Result<Decoded, DecodeError> {
    let findings = Findings::default();
    let value = Place::root(&findings, schema).deserialize(value);
    findings.conclude(value)
}

/// What was found so far. The first failure ends the reading.
#[derive(Default)]
struct Findings {
    unexpected: RefCell<Vec<Unexpected>>,
    failure: RefCell<Option<DecodeError>>,
}

impl Findings {
    fn conclude(self, value: Result<Option<Value>, serde_json::Error>) -> Result<Decoded, DecodeError> {
        if let Some(failure) = self.failure.into_inner() {
            return Err(failure);
        }
        match value.map_err(|error| DecodeError::Syntax(error.to_string()))? {
            Some(value @ Value::Object(_)) => Ok(Decoded { value, unexpected: self.unexpected.into_inner() }),
            other => Err(DecodeError::Type {
                path: FieldPath::root(),
                expected: "an object",
                found: other.as_ref().map_or_else(|| "null".to_owned(), described),
            }),
        }
    }

    fn report(&self, unexpected: impl FnOnce() -> Unexpected) {
        let mut reported = self.unexpected.borrow_mut();
        if reported.len() < MAX_UNEXPECTED {
            reported.push(unexpected());
        }
    }
}

/// The way down to a value, on the stack; it becomes a [`FieldPath`] only when there is something to say.
struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    step: Step<'a>,
    depth: u16,
}

enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
}

impl<'a> Trail<'a> {
    const ROOT: Trail<'static> = Trail { parent: None, step: Step::Root, depth: 0 };

    fn down(&'a self, step: Step<'a>) -> Self {
        Self { parent: Some(self), step, depth: self.depth + 1 }
    }

    fn path(&self) -> FieldPath {
        let parent = self.parent.map(Self::path).unwrap_or_default();
        match self.step {
            Step::Root => parent,
            Step::Field(name) => parent.child(name.to_owned()),
            Step::Index(index) => parent.index(index),
        }
    }
}

/// A place a value is read for. Reads `None` for null.
struct Place<'a> {
    findings: &'a Findings,
    schema: &'a Schema,
    trail: &'a Trail<'a>,
}

impl<'a> Place<'a> {
    fn root(findings: &'a Findings, schema: &'a Schema) -> Self {
        Self { findings, schema, trail: &Trail::ROOT }
    }

    fn fail<E: serde::de::Error>(&self, error: DecodeError) -> E {
        self.findings.failure.replace(Some(error));
        E::custom("does not fit the schema")
    }

    fn wrong_type<E: serde::de::Error>(&self, found: &Value) -> E {
        let expected = match self.schema.shape() {
            Shape::Object(_) => "an object",
            Shape::List(_) => "a list",
            Shape::Scalar(scalar) => scalar.noun(),
            Shape::Any => "a value",
        };
        self.fail(DecodeError::Type { path: self.trail.path(), expected, found: described(found) })
    }

    fn single<E: serde::de::Error>(&self, mut found: Value) -> Result<Option<Value>, E> {
        match self.schema.shape() {
            Shape::Any => Ok(Some(found)),
            Shape::Scalar(scalar) => match scalar.accept(&mut found) {
                Ok(()) => Ok(Some(found)),
                Err(Misfit::Type) => Err(self.wrong_type(&found)),
                Err(Misfit::Value(reason)) => {
                    let found = described(&found);
                    Err(self.fail(DecodeError::Value { path: self.trail.path(), reason, found }))
                }
            },
            Shape::Object(_) | Shape::List(_) => Err(self.wrong_type(&found)),
        }
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.trail.depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.fail(DecodeError::Depth { path: self.trail.path() }))
    }

    /// Reads the value of a field or entry; null reads as `None`.
    fn below<'de, A: MapAccess<'de>>(
        &self,
        map: &mut A,
        key: &str,
        schema: &Schema,
    ) -> Result<Option<Value>, A::Error> {
        let trail = self.trail.down(Step::Field(key));
        map.next_value_seed(Place { findings: self.findings, schema, trail: &trail })
    }

    fn insert(&self, into: &mut Map<String, Value>, key: &str, value: Value) {
        if into.insert(key.to_owned(), value).is_some() {
            self.findings.report(|| Unexpected::Duplicate(self.trail.down(Step::Field(key)).path()));
        }
    }

    fn object<'de, A: MapAccess<'de>>(
        &self,
        object: &ObjectSchema,
        mut map: A,
    ) -> Result<Map<String, Value>, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key_seed(KeyOf(object))? {
            match (key, &object.rest) {
                (Key::Known(field), _) => {
                    if let Some(value) = self.below(&mut map, &field.name, &field.schema)? {
                        self.insert(&mut out, &field.name, value);
                    }
                }
                (Key::Other(key), Rest::Entries(schema)) => {
                    let value = self.below(&mut map, &key, schema)?.unwrap_or_else(|| zero(schema));
                    self.insert(&mut out, &key, value);
                }
                (Key::Other(key), Rest::Kept) => {
                    let value = self.below(&mut map, &key, &Schema::Any)?.unwrap_or_default();
                    self.insert(&mut out, &key, value);
                }
                (Key::Other(key), Rest::Pruned) => {
                    self.findings.report(|| Unexpected::Unknown(self.trail.down(Step::Field(&key)).path()));
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(out)
    }

    fn anything<'de, A: MapAccess<'de>>(&self, mut map: A) -> Result<Map<String, Value>, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = self.below(&mut map, &key, &Schema::Any)?.unwrap_or_default();
            self.insert(&mut out, &key, value);
        }
        Ok(out)
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.single(Value::from(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.single(Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.single(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        self.single(Value::from(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        self.single(Value::from(value))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Self::Value, E> {
        self.single(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        self.check_depth()?;
        let items = match self.schema.shape() {
            Shape::List(list) => &list.items,
            Shape::Any => &Schema::Any,
            Shape::Object(_) | Shape::Scalar(_) => return Err(self.wrong_type(&Value::Array(Vec::new()))),
        };
        let mut out = Vec::new();
        loop {
            let trail = self.trail.down(Step::Index(out.len()));
            let place = Place { findings: self.findings, schema: items, trail: &trail };
            match seq.next_element_seed(place)? {
                Some(item) => out.push(item.unwrap_or_else(|| zero(items))),
                None => return Ok(Some(Value::Array(out))),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.check_depth()?;
        let fields = match self.schema.shape() {
            Shape::Object(object) => self.object(object, map)?,
            Shape::Any => self.anything(map)?,
            Shape::List(_) | Shape::Scalar(_) => return Err(self.wrong_type(&Value::Object(Map::new()))),
        };
        Ok(Some(Value::Object(fields)))
    }
}

/// Reads a key without copying it where it is a known field's.
struct KeyOf<'a>(&'a ObjectSchema);

enum Key<'a> {
    Known(&'a Field),
    Other(String),
}

impl<'de, 'a> DeserializeSeed<'de> for KeyOf<'a> {
    type Value = Key<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for KeyOf<'a> {
    type Value = Key<'a>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name).map_or_else(|| Key::Other(name.to_owned()), Key::Known))
    }
}

/// What an explicit null stands for where a value must be, in a list or a map.
fn zero(schema: &Schema) -> Value {
    match schema.shape() {
        Shape::Object(_) => Value::Object(Map::new()),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Scalar(scalar) => scalar.zero(),
        Shape::Any => Value::Null,
    }
}

/// A value as a message shows it, short.
fn described(value: &Value) -> String {
    /// Longer texts are cut.
    const MAX_SHOWN_CHARS: usize = 64;
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() > MAX_SHOWN_CHARS => {
            let start: String = text.chars().take(MAX_SHOWN_CHARS).collect();
            format!("the string {start:?}…")
        }
        Value::String(text) => format!("the string {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests;
