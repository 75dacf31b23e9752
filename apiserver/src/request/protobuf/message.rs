//! From the fields of a message to those of a JSON object.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_core::Timestamp;
use serde_json::{Map, Value};

use super::ProtobufError;
use super::wire::{self, Reader, text};

/// A line a message: its name, then `number:name:type` of each field. A type begins with `*` where it is repeated and with
/// `%` where it is a map of texts to it; it ends with `?` where JSON has its zero and with `~` where the fields of the
/// message stand in JSON among those around it. A message whose fields have no name is, in JSON, the field that is there.
static MESSAGES: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| {
    include_str!("messages.txt").lines().map(|line| line.split_once(' ').unwrap_or((line, ""))).collect()
});
/// The deepest a body may nest.
const DEPTH_MAX: usize = 64;

/// A message by the fields of its line.
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
    /// The message of a kind. Options of a delete are of every group.
    pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<Self> {
        if kind == "DeleteOptions" {
            return Self::named("meta.v1.DeleteOptions");
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("core", api_version));
        let group = match group.split_once('.') {
            Some((group, domain)) if domain == "k8s.io" || domain.ends_with(".k8s.io") => group,
            Some(_) => return None,
            None => group,
        };
        Self::named(&format!("{group}.{version}.{kind}"))
    }

    fn named(name: &str) -> Option<Self> {
        MESSAGES.get(name).copied().map(Self)
    }

    fn field(self, number: u64) -> Option<Field> {
        let mut fields = self.0.split(' ').filter_map(|field| field.split_once(':'));
        let (_, rest) = fields.find(|(found, _)| found.parse() == Ok(number))?;
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

    /// Whether it is in JSON no object but one of its fields.
    fn is_its_field(self) -> bool {
        self.0.split(' ').next().is_some_and(|field| field.contains("::"))
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
        "RawExtension" => simple.and_then(|it| match it.first {
            [] => Ok(Value::Null),
            raw => serde_json::from_slice(raw).map_err(|_| ProtobufError::Malformed),
        }),
        kind => {
            let mut object = Map::new();
            let message = Message::named(kind).ok_or_else(|| ProtobufError::Unknown(kind.to_owned()))?;
            message.read(bytes, &mut object, depth)?;
            Ok(match message.is_its_field() {
                true => object.remove("").unwrap_or_else(|| Value::Array(Vec::new())),
                false => Value::Object(object),
            })
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
        let is_simple =
            matches!(kind, "meta.v1.Time" | "meta.v1.MicroTime" | "Quantity" | "IntOrString" | "RawExtension");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_is_built_in_has_a_message_and_so_has_every_field_of_one() {
        // What is measured is read alone: no client sends it.
        let sent = sampan_core::resource::builtin().into_iter().filter(|definition| definition.measure.is_none());
        for definition in sent {
            for version in definition.versions.iter().filter(|version| version.group != "sampan.dev") {
                let api_version = format!("{}/{}", version.group, version.version);
                let message = Message::of_kind(api_version.trim_start_matches('/'), definition.kind);
                assert!(message.is_some(), "{} of {api_version}", definition.kind);
            }
        }
        for (name, fields) in MESSAGES.iter() {
            for number in fields.split(' ').filter_map(|field| field.split(':').next()?.parse().ok()) {
                let field = Message(fields).field(number).expect("a field by its number");
                let values = [wire::Value::Bytes(&[]), wire::Value::Varint(0), wire::Value::Fixed(0)];
                let is_known = values.iter().any(|value| json(field.kind, value, 0).is_ok());
                assert!(is_known, "{name} has {}", field.kind);
            }
        }
    }

    #[test]
    fn kinds_of_other_domains_are_not_taken_for_those_of_kubernetes() {
        let known = |api_version: &str, kind: &str| Message::of_kind(api_version, kind).is_some();
        assert!(known("rbac.authorization.k8s.io/v1", "Role") && known("policy/v1", "Eviction"));
        assert!(known("example.com/v1", "DeleteOptions"));
        assert!(!known("rbac.example.com/v1", "Role") && !known("autoscaling/v3", "Scale"));
    }
}
