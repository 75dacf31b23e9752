//! From the fields of a message to those of a JSON object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_core::Timestamp;
use serde_json::{Map, Value};

use super::ProtobufError;
use super::wire::{self, Reader, text};

/// A line a message: its name, then `number:name:type` of each field. A type begins with `*` where it is repeated and with
/// `%` where it is a map of texts to it; it ends with `?` where absent and zero differ and with `~` where the fields of
/// the message stand in JSON among those around it.
const MESSAGES: &str = include_str!("messages.txt");
/// The deepest a body may nest.
const DEPTH_MAX: usize = 64;

/// A message by its line.
#[derive(Clone, Copy)]
pub(super) struct Message(&'static str);

/// How often a field occurs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occurs {
    Once,
    Repeated,
    Mapped,
}

/// A field of a message.
struct Field {
    name: &'static str,
    occurs: Occurs,
    kind: &'static str,
    keeps_zero: bool,
    is_inlined: bool,
}

impl Message {
    /// The message of a kind.
    pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("core", api_version));
        let group = group.split('.').next().unwrap_or_default();
        let group = if kind == "DeleteOptions" { "meta" } else { group };
        Self::named(&format!("{group}.{version}.{kind}"))
    }

    fn named(name: &str) -> Option<Self> {
        let line = MESSAGES.lines().find(|line| line.split(' ').next() == Some(name))?;
        Some(Self(line))
    }

    fn field(self, number: u64) -> Option<Field> {
        let fields = self.0.split(' ').skip(1).filter_map(|field| field.split_once(':'));
        let (_, rest) = fields.into_iter().find(|(found, _)| found.parse() == Ok(number))?;
        let (name, kind) = rest.split_once(':')?;
        let (kind, is_inlined) = kind.strip_suffix('~').map_or((kind, false), |kind| (kind, true));
        let (kind, keeps_zero) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        let (occurs, kind) = match (kind.strip_prefix('*'), kind.strip_prefix('%')) {
            (Some(kind), _) => (Occurs::Repeated, kind),
            (_, Some(kind)) => (Occurs::Mapped, kind),
            _ => (Occurs::Once, kind),
        };
        Some(Field { name, occurs, kind, keeps_zero, is_inlined })
    }

    /// Reads the fields of these bytes into `object`. Fields nobody knows are passed over, as in protobuf.
    pub(super) fn read(self, bytes: &[u8], object: &mut Map<String, Value>, depth: usize) -> Result<(), ProtobufError> {
        if depth > DEPTH_MAX {
            return Err(ProtobufError::Depth);
        }
        for found in Reader::new(bytes) {
            let found = found?;
            let Some(field) = self.field(found.number) else { continue };
            field.read(&found.value, object, depth)?;
        }
        Ok(())
    }
}

impl Field {
    fn read(
        &self,
        value: &wire::Value<'_>,
        object: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), ProtobufError> {
        if let (true, wire::Value::Bytes(bytes), Some(message)) = (self.is_inlined, value, Message::named(self.kind)) {
            return message.read(bytes, object, depth + 1);
        }
        match self.occurs {
            Occurs::Once => {
                let value = json(self.kind, value, depth)?;
                if !value.is_null() && (self.keeps_zero || !is_zero(&value)) {
                    object.insert(self.name.to_owned(), value);
                }
            }
            Occurs::Repeated => {
                let list = object.entry(self.name).or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    list.push(json(self.kind, value, depth)?);
                }
            }
            Occurs::Mapped => {
                let (key, value) = self.entry(value, depth)?;
                let map = object.entry(self.name).or_insert_with(|| Value::Object(Map::new()));
                if let Some(map) = map.as_object_mut() {
                    map.insert(key, value);
                }
            }
        }
        Ok(())
    }

    fn entry(&self, value: &wire::Value<'_>, depth: usize) -> Result<(String, Value), ProtobufError> {
        let wire::Value::Bytes(entry) = value else { return Err(ProtobufError::Malformed) };
        let (mut key, mut found) = (String::new(), None);
        for field in Reader::new(entry) {
            match field? {
                wire::Field { number: 1, value: wire::Value::Bytes(bytes) } => key = text(bytes)?,
                wire::Field { number: 2, value } => found = Some(json(self.kind, &value, depth)?),
                _ => {}
            }
        }
        let missing =
            || if matches!(self.kind, "string" | "bytes") { Value::String(String::new()) } else { Value::Null };
        Ok((key, found.unwrap_or_else(missing)))
    }
}

/// What Go writes of a field that was never set.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn json(kind: &str, value: &wire::Value<'_>, depth: usize) -> Result<Value, ProtobufError> {
    match (kind, value) {
        ("string", wire::Value::Bytes(bytes)) => text(bytes).map(Value::String),
        ("bytes", wire::Value::Bytes(bytes)) => Ok(Value::String(STANDARD.encode(bytes))),
        ("bool", wire::Value::Varint(number)) => Ok(Value::Bool(*number != 0)),
        ("int32" | "int64", wire::Value::Varint(number)) => Ok(Value::from(number.cast_signed())),
        ("uint32" | "uint64", wire::Value::Varint(number)) => Ok(Value::from(*number)),
        ("double", wire::Value::Fixed(bits)) => Ok(Value::from(f64::from_bits(*bits))),
        (message, wire::Value::Bytes(bytes)) => self::message(message, bytes, depth + 1),
        _ => Err(ProtobufError::Malformed),
    }
}

/// A message; some stand in JSON as something simpler.
fn message(kind: &str, bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let simple = Simple::read(kind, bytes);
    match kind {
        "meta.v1.Time" => simple.map(|it| it.time(0)),
        "meta.v1.MicroTime" => simple.map(|it| it.time(6)),
        "Quantity" => simple.and_then(|it| text(it.first).map(Value::String)),
        "IntOrString" => simple.and_then(|it| match it.number {
            0 => Ok(Value::from(it.second)),
            _ => text(it.third).map(Value::String),
        }),
        "meta.v1.FieldsV1" | "RawExtension" => {
            simple.and_then(|it| serde_json::from_slice(it.first).map_err(|_| ProtobufError::Malformed))
        }
        kind => {
            let mut object = Map::new();
            let message = Message::named(kind).ok_or_else(|| ProtobufError::Unknown(kind.to_owned()))?;
            message.read(bytes, &mut object, depth)?;
            Ok(Value::Object(object))
        }
    }
}

/// The first fields of a message that stands for something simple.
#[derive(Default)]
struct Simple<'a> {
    number: u64,
    first: &'a [u8],
    second: i64,
    third: &'a [u8],
    is_empty: bool,
}

impl<'a> Simple<'a> {
    fn read(kind: &str, bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut simple = Self { is_empty: bytes.is_empty(), ..Self::default() };
        let is_simple = matches!(
            kind,
            "meta.v1.Time" | "meta.v1.MicroTime" | "Quantity" | "IntOrString" | "meta.v1.FieldsV1" | "RawExtension"
        );
        for field in Reader::new(bytes).take_while(|_| is_simple) {
            match field? {
                wire::Field { number: 1, value: wire::Value::Varint(number) } => simple.number = number,
                wire::Field { number: 1, value: wire::Value::Bytes(bytes) } => simple.first = bytes,
                wire::Field { number: 2, value: wire::Value::Varint(number) } => simple.second = number.cast_signed(),
                wire::Field { number: 3, value: wire::Value::Bytes(bytes) } => simple.third = bytes,
                _ => {}
            }
        }
        Ok(simple)
    }

    /// Seconds and nanoseconds as RFC 3339 with so many digits after the point; null where there is none.
    fn time(&self, digits: usize) -> Value {
        let nanos = i32::try_from(self.second).unwrap_or_default();
        let time = Timestamp::new(self.number.cast_signed(), if digits == 0 { 0 } else { nanos });
        match time {
            Ok(time) if !self.is_empty => Value::String(format!("{time:.digits$}")),
            _ => Value::Null,
        }
    }
}
