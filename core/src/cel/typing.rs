//! What is known of the types of an object's values.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;

use super::Value;

/// The type of a value of an object.
#[derive(Debug, Default)]
pub struct Typing {
    /// What it is.
    pub kind: TypingKind,
    /// The known fields.
    pub fields: BTreeMap<String, Typing>,
    /// Whether there are no others.
    pub is_closed: bool,
    /// The items of a list or the entries of a map.
    pub inner: Option<Box<Typing>>,
}

/// What a value is, beyond what its JSON tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum TypingKind {
    /// What its JSON tells.
    #[default]
    Plain,
    /// A number that may be whole.
    Double,
    /// An instant.
    Time,
    /// A length of time.
    Duration,
    /// Base64 text.
    Bytes,
}

impl Typing {
    pub(super) fn is_double(&self) -> bool {
        self.kind == TypingKind::Double
    }

    pub(super) fn of_items(&self) -> Option<&Self> {
        self.inner.as_deref()
    }

    pub(super) fn of_field(&self, name: &str) -> Option<&Self> {
        self.fields.get(name).or(self.inner.as_deref())
    }

    /// A text of that type; `None` where it is a text and nothing else.
    pub(super) fn read<'a>(&self, text: &str) -> Option<Value<'a>> {
        match self.kind {
            TypingKind::Plain | TypingKind::Double => None,
            TypingKind::Time => text.parse().ok().map(Value::Time),
            TypingKind::Duration => crate::resource::custom::go_duration(text).map(Value::Duration),
            TypingKind::Bytes => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
                Some(Value::Bytes(Arc::from(bytes)))
            }
        }
    }
}
