//! From one type to another, and values that may be missing.

use std::sync::Arc;

use base64::Engine as _;
use jiff::Timestamp;

use super::super::operators::text_cost;
use super::super::value::Text;
use super::super::{EvalError, Value};
use super::{Answer, Call};
use crate::resource::custom::go_duration;

pub(super) const NAMES: &[&str] = &[
    "size",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "dyn",
    "type",
    "timestamp",
    "duration",
    "of",
    "none",
    "ofNonZeroValue",
    "hasValue",
    "value",
    "or",
    "orValue",
    "encode",
    "decode",
];

/// The type a name stands for.
pub(in super::super) fn type_named<'a>(name: &str) -> Option<Value<'a>> {
    const TYPES: [&str; 9] = ["null_type", "bool", "int", "uint", "double", "string", "bytes", "list", "map"];
    TYPES.into_iter().find(|known| *known == name).map(Value::Type)
}

/// The text a value converts to.
pub(in super::super) fn text_of(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?,
        Value::Time(time) => time.to_string(),
        Value::Duration(nanos) => seconds_text(*nanos),
        Value::Type(name) => (*name).to_owned(),
        Value::Quantity(quantity) => quantity.canonical(),
        Value::Ip(address) => address.to_string(),
        Value::Cidr(address, bits) => format!("{address}/{bits}"),
        Value::Url(url) => url.text.clone(),
        _ => return None,
    })
}

/// `3.5s`.
fn seconds_text(nanos: i64) -> String {
    let (whole, part) = (nanos / 1_000_000_000, (nanos % 1_000_000_000).abs());
    let sign = if nanos < 0 && whole == 0 { "-" } else { "" };
    let fraction = format!("{part:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}s"),
        fraction => format!("{sign}{whole}.{fraction}s"),
    }
}

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    match (call.room, call.target.is_some()) {
        (Some("optional"), _) => optional(call.name, call.arguments.first()),
        (Some("base64"), _) => base64_text(call),
        (None, true) => of_optional(call),
        (None, false) => match call.arguments.as_slice() {
            [only] => convert(call.name, only),
            _ if call.name == "none" => Some(Ok(Value::Optional(None))),
            _ => None,
        },
        _ => None,
    }
}

fn optional<'a>(name: &str, argument: Option<&Value<'a>>) -> Answer<'a> {
    Some(match (name, argument) {
        ("none", None) => Ok(Value::Optional(None)),
        ("of", Some(value)) => Ok(Value::optional(Some(value.clone()))),
        ("ofNonZeroValue", Some(value)) => Ok(Value::optional(Some(value.clone()).filter(|value| !value.is_zero()))),
        _ => Err(EvalError::no_such_overload()),
    })
}

fn of_optional<'a>(call: &Call<'a, '_>) -> Answer<'a> {
    if let (Some(target), "size", []) = (&call.target, call.name, call.arguments.as_slice()) {
        return Some(size(target));
    }
    let Some(Value::Optional(inner)) = &call.target else { return None };
    let held = || inner.as_deref().cloned();
    match (call.name, call.arguments.as_slice()) {
        ("hasValue", []) => Some(Ok(Value::Bool(inner.is_some()))),
        ("value", []) => Some(held().ok_or_else(|| EvalError::failed("optional.none() dereference"))),
        ("orValue", [other]) => Some(Ok(held().unwrap_or_else(|| other.clone()))),
        ("or", [other]) => Some(Ok(if inner.is_some() { Value::Optional(inner.clone()) } else { other.clone() })),
        _ => None,
    }
}

fn base64_text<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    let engine = base64::engine::general_purpose::STANDARD;
    let spent = |bytes: usize, call: &mut Call<'a, '_>| call.budget.spend(text_cost(bytes));
    Some(match (call.name, call.arguments.first().cloned()) {
        ("encode", Some(Value::Bytes(bytes))) => spent(bytes.len(), call).map(|()| Value::text(engine.encode(&*bytes))),
        ("decode", Some(Value::Text(text))) => spent(text.len(), call).and_then(|()| {
            let bytes = engine.decode(&*text).map_err(|error| EvalError::failed(error.to_string()))?;
            Ok(Value::Bytes(Arc::from(bytes)))
        }),
        _ => Err(EvalError::no_such_overload()),
    })
}

fn size<'a>(value: &Value<'_>) -> Result<Value<'a>, EvalError> {
    let count = match value {
        Value::Text(text) => Some(text.chars().count()),
        Value::Bytes(bytes) => Some(bytes.len()),
        other => other.count(),
    };
    count.map(|count| Value::Int(count as i64)).ok_or_else(EvalError::no_such_overload)
}

fn convert<'a>(name: &str, value: &Value<'a>) -> Answer<'a> {
    let found = match name {
        "size" => return Some(size(value)),
        "dyn" => return Some(Ok(value.clone())),
        "type" => return Some(Ok(Value::Type(value.type_name()))),
        "string" => text_of(value).map(Value::text),
        "int" => to_int(value).map(Value::Int),
        "uint" => to_int(value).and_then(|number| u64::try_from(number).ok()).map(Value::Uint),
        "double" => to_double(value).map(Value::Double),
        "bool" => match value {
            Value::Bool(flag) => Some(Value::Bool(*flag)),
            Value::Text(text) => match &**text {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(Value::Bool(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(Value::Bool(false)),
                _ => None,
            },
            _ => None,
        },
        "bytes" => match value {
            Value::Text(text) => Some(Value::Bytes(text.as_bytes().into())),
            Value::Bytes(_) => Some(value.clone()),
            _ => None,
        },
        "timestamp" => match value {
            Value::Time(_) => Some(value.clone()),
            Value::Text(text) => text.parse().ok().map(Value::Time),
            Value::Int(seconds) => Timestamp::from_second(*seconds).ok().map(Value::Time),
            _ => None,
        },
        "duration" => match value {
            Value::Duration(_) => Some(value.clone()),
            Value::Text(text) => go_duration(text).map(Value::Duration),
            _ => None,
        },
        _ => return None,
    };
    Some(
        found.ok_or_else(|| {
            EvalError::failed(format!("type conversion error from '{}' to '{name}'", value.type_name()))
        }),
    )
}

fn to_int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Double(number) if number.abs() < 9.223_372_036_854_775e18 => Some(*number as i64),
        Value::Text(text) => text.parse().ok(),
        Value::Time(time) => Some(time.as_second()),
        _ => None,
    }
}

fn to_double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        Value::Text(Text::Borrowed(text)) => text.parse().ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}
