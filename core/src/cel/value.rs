//! The values of expressions. What comes from an object is borrowed from it: looking costs no copy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::functions::authorizer::{Authorizer, Check, Decision};
use super::functions::url::Url;
use super::{Made, Typing};
use crate::object::Quantity;

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A number.
    Double(f64),
    /// A text.
    Text(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A list that was made.
    List(Arc<Vec<Value<'a>>>),
    /// A list of an object.
    Items(&'a [Json], Option<&'a Typing>),
    /// A map that was made.
    Map(Arc<BTreeMap<Key, Value<'a>>>),
    /// An object, or a map of one.
    Fields(&'a serde_json::Map<String, Json>, Option<&'a Typing>),
    /// An instant.
    Time(Timestamp),
    /// A length of time in nanoseconds.
    Duration(i64),
    /// A value that may be missing.
    Optional(Option<Arc<Value<'a>>>),
    /// The type of a value.
    Type(&'static str),
    /// An amount.
    Quantity(Quantity),
    /// An address of the web.
    Url(Arc<Url>),
    /// An address of the network.
    Ip(IpAddr),
    /// A range of addresses.
    Cidr(IpAddr, u8),
    /// A value of a type that was named.
    Made(Arc<Made<'a>>),
    /// Whom to ask what somebody may do.
    Authorizer(Authorizer<'a>),
    /// A question of what somebody may do.
    Check(Check<'a>),
    /// What was decided of it.
    Decision(Arc<Decision>),
}

/// A text: of an object or an expression, or made.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// Somebody else's.
    Borrowed(&'a str),
    /// Made.
    Shared(Arc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// The key of a map's entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `true` or `false`.
    Bool(bool),
    /// An integer, signed or not.
    Int(i128),
    /// A text.
    Text(Arc<str>),
}

impl<'a> Value<'a> {
    /// A text that was made.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Text::Shared(text.as_ref().into()))
    }

    /// A list that was made.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(Arc::new(items))
    }

    /// A value that may be missing.
    pub fn optional(value: Option<Value<'a>>) -> Self {
        Self::Optional(value.map(Arc::new))
    }

    /// A JSON value as it is.
    pub fn of(json: &'a Json) -> Self {
        Self::typed(json, None)
    }

    /// A JSON value of a type: a schema tells times from texts and numbers from integers.
    pub fn typed(json: &'a Json, typing: Option<&'a Typing>) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => match number.as_i64() {
                Some(number) if !typing.is_some_and(Typing::is_double) => Self::Int(number),
                _ => Self::Double(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => {
                typing.and_then(|typing| typing.read(text)).unwrap_or(Self::Text(Text::Borrowed(text)))
            }
            Json::Array(items) => Self::Items(items, typing),
            Json::Object(fields) => Self::Fields(fields, typing),
        }
    }

    /// How many items or entries there are; `None` where it is neither list nor map.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Items(items, _) => Some(items.len()),
            Self::Map(entries) => Some(entries.len()),
            Self::Fields(fields, _) => Some(fields.len()),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::List(items) => Some(items.to_vec()),
            Self::Items(items, typing) => {
                let typing = typing.and_then(Typing::of_items);
                Some(items.iter().map(|item| Self::typed(item, typing)).collect())
            }
            _ => None,
        }
    }

    /// An item of a list.
    pub fn item(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::List(items) => items.get(index).cloned(),
            Self::Items(items, typing) => {
                items.get(index).map(|item| Self::typed(item, typing.and_then(Typing::of_items)))
            }
            _ => None,
        }
    }

    /// The entry of a map.
    pub fn entry(&self, key: &Key) -> Option<Value<'a>> {
        match (self, key) {
            (Self::Map(entries), key) => entries.get(key).cloned(),
            (Self::Fields(..), Key::Text(name)) => self.field(name),
            _ => None,
        }
    }

    /// The field of an object or the entry of a map. A name that is none in CEL is written escaped (KEP-2876).
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Self::Map(entries) => entries.get(&Key::Text(name.into())).cloned(),
            Self::Fields(fields, typing) => {
                let plain = fields.get_key_value(name);
                let (name, value) = plain.or_else(|| fields.get_key_value(&unescaped(name)?))?;
                Some(Self::typed(value, typing.and_then(|typing| typing.of_field(name))))
            }
            Self::Made(made) => {
                let plain = made.fields.get(name);
                plain.or_else(|| made.fields.get(&unescaped(name)?)).cloned()
            }
            Self::Authorizer(authorizer) => authorizer.field(name),
            _ => None,
        }
    }

    /// Whether it can be asked of its fields whether they are there.
    pub(super) fn has_fields(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Fields(..) | Self::Made(_))
    }

    /// The keys of a map.
    pub fn keys(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::Map(entries) => Some(entries.keys().map(Key::to_value).collect()),
            Self::Fields(fields, _) => Some(fields.keys().map(|name| Self::Text(Text::Borrowed(name))).collect()),
            _ => None,
        }
    }

    /// Whether it stands for what it may be: an empty text, list or map is none.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(flag) => !flag,
            Self::Int(number) => *number == 0,
            Self::Uint(number) => *number == 0,
            Self::Double(number) => *number == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Duration(nanos) => *nanos == 0,
            Self::Optional(inner) => inner.is_none(),
            Self::Made(made) => made.fields.is_empty(),
            other => other.count() == Some(0),
        }
    }

    /// The name of its type, as `type()` gives it and messages do.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) | Self::Items(..) => "list",
            Self::Map(_) | Self::Fields(..) => "map",
            Self::Time(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
            Self::Made(_) => "object",
            Self::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Self::Check(check) => check.type_name(),
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    /// The value as a key.
    pub fn as_key(&self) -> Option<Key> {
        Some(match self {
            Self::Bool(flag) => Key::Bool(*flag),
            Self::Int(number) => Key::Int((*number).into()),
            Self::Uint(number) => Key::Int((*number).into()),
            Self::Double(number) if number.fract() == 0.0 => Key::Int(*number as i128),
            Self::Text(text) => Key::Text((**text).into()),
            _ => return None,
        })
    }
}

impl Key {
    fn to_value<'a>(&self) -> Value<'a> {
        match self {
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Int(number) => i64::try_from(*number).map_or(Value::Uint(*number as u64), Value::Int),
            Self::Text(text) => Value::Text(Text::Shared(text.clone())),
        }
    }
}

/// The field's own name: `x__dash__y` is `x-y`, `__in__` is `in`.
pub(super) fn unescaped(name: &str) -> Option<String> {
    if !name.contains("__") {
        return None;
    }
    let spelled =
        [("__underscores__", "\u{0}"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/"), ("\u{0}", "__")];
    let plain = spelled.into_iter().fold(name.to_owned(), |name, (escape, text)| name.replace(escape, text));
    let keyword = plain.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    Some(keyword.map(str::to_owned).unwrap_or(plain))
}
