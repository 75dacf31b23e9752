//! Field paths and what may be wrong with a field, in the words Kubernetes users know.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::status::StatusCause;

/// Where a field stands in an object, as `spec.containers[0].ports[1].containerPort` or `metadata.labels[app]`.
///
/// A path shares its parent, so that a step down costs one small allocation and a clone none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FieldPath(Option<Arc<Node>>);

#[derive(PartialEq, Eq)]
struct Node {
    parent: FieldPath,
    segment: Segment,
}

#[derive(PartialEq, Eq)]
enum Segment {
    Child(Cow<'static, str>),
    Index(usize),
    Key(Box<str>),
}

impl FieldPath {
    /// The object itself.
    pub const fn root() -> Self {
        Self(None)
    }

    /// A path of one name, as `metadata`.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self::root().child(name)
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.0.is_none()
    }

    /// The field `name` of this one.
    pub fn child(&self, name: impl Into<Cow<'static, str>>) -> Self {
        self.step(Segment::Child(name.into()))
    }

    /// The item at `index` of this list.
    pub fn index(&self, index: usize) -> Self {
        self.step(Segment::Index(index))
    }

    /// The entry `key` of this map.
    pub fn key(&self, key: impl Into<Box<str>>) -> Self {
        self.step(Segment::Key(key.into()))
    }

    fn step(&self, segment: Segment) -> Self {
        Self(Some(Arc::new(Node { parent: self.clone(), segment })))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(node) = &self.0 else { return Ok(()) };
        node.parent.fmt(f)?;
        match &node.segment {
            Segment::Child(name) if node.parent.is_root() => f.write_str(name),
            Segment::Child(name) => write!(f, ".{name}"),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Key(key) => write!(f, "[{key}]"),
        }
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldPath({self})")
    }
}

impl From<&'static str> for FieldPath {
    fn from(name: &'static str) -> Self {
        Self::new(name)
    }
}

/// What is wrong with a field. The reason is what a `Status` cause carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// The field has no value and must have one.
    Required,
    /// The value breaks a rule.
    Invalid,
    /// The value breaks a rule that is about where it stands, so that it is not worth showing.
    InvalidOmitted,
    /// The value is none of those known.
    NotSupported,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The field must not be set, or not be changed, here.
    Forbidden,
    /// The value has too many bytes.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The value has another type.
    TypeInvalid,
    /// The value names something that is not there.
    NotFound,
    /// The check itself failed.
    Internal,
}

impl FieldErrorKind {
    /// The machine-readable reason of a `Status` cause, as `FieldValueInvalid`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid | Self::InvalidOmitted => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::Internal => "InternalError",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::InvalidOmitted | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
            Self::Internal => "Internal error",
        }
    }

    const fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::InvalidOmitted | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One field that breaks a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Which rule it breaks.
    pub kind: FieldErrorKind,
    /// Where it stands.
    pub path: FieldPath,
    /// What it holds.
    pub value: Value,
    /// What was expected; may be empty.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// A value is missing.
    pub fn required(path: FieldPath, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FieldErrorKind::Required, path, Value::Null, detail)
    }

    /// A value breaks a rule.
    pub fn invalid(path: FieldPath, value: impl Into<Value>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FieldErrorKind::Invalid, path, value.into(), detail)
    }

    /// A value breaks a rule; it is not shown.
    pub fn invalid_omitted(path: FieldPath, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FieldErrorKind::InvalidOmitted, path, Value::Null, detail)
    }

    /// A value is none of `supported`, which are shown in the order given.
    pub fn not_supported<S: AsRef<str>>(path: FieldPath, value: impl Into<Value>, supported: &[S]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|name| format!("{:?}", name.as_ref())).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(FieldErrorKind::NotSupported, path, value.into(), detail)
    }

    /// A value occurs twice.
    pub fn duplicate(path: FieldPath, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::Duplicate, path, value.into(), "")
    }

    /// A field must not be set or changed.
    pub fn forbidden(path: FieldPath, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FieldErrorKind::Forbidden, path, Value::Null, detail)
    }

    /// A value has more than `max_bytes` bytes.
    pub fn too_long(path: FieldPath, max_bytes: usize) -> Self {
        let unit = if max_bytes == 1 { "byte" } else { "bytes" };
        Self::new(FieldErrorKind::TooLong, path, Value::Null, format!("may not be more than {max_bytes} {unit}"))
    }

    /// A list has `actual` items, more than `max_items`.
    pub fn too_many(path: FieldPath, actual: usize, max_items: usize) -> Self {
        let unit = if max_items == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max_items} {unit}");
        Self::new(FieldErrorKind::TooMany, path, Value::from(actual), detail)
    }

    /// A value has another type.
    pub fn type_invalid(path: FieldPath, value: impl Into<Value>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FieldErrorKind::TypeInvalid, path, value.into(), detail)
    }

    /// A value names something that is not there.
    pub fn not_found(path: FieldPath, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::NotFound, path, value.into(), "")
    }

    /// The check itself failed.
    pub fn internal(path: FieldPath, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(FieldErrorKind::Internal, path, Value::Null, detail)
    }

    fn new(kind: FieldErrorKind, path: FieldPath, value: Value, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, path, value, detail: detail.into() }
    }

    /// The message without the path: what a `Status` cause carries beside its field.
    pub fn body(&self) -> String {
        let mut body = String::from(self.kind.words());
        if self.kind.shows_value() {
            body.push_str(": ");
            body.push_str(&shown(&self.value));
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }

    /// This error as one of the `causes` of a `Status`.
    pub fn cause(&self) -> StatusCause {
        StatusCause { reason: self.kind.reason().into(), message: self.body(), field: self.path.to_string() }
    }
}

/// Kubernetes prints a missing value as the quoted word.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "\"null\"".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_root() {
            return write!(f, "<nil>: {}", self.body());
        }
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for FieldError {}

/// Everything found wrong with one object, in the order found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Nothing found yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one error.
    pub fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// Adds an [`FieldErrorKind::Invalid`] error per message.
    pub fn push_messages(&mut self, path: &FieldPath, value: &str, messages: Vec<String>) {
        self.0.extend(messages.into_iter().map(|message| FieldError::invalid(path.clone(), value, message)));
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many errors were found.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The errors in order.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }

    /// `Ok` where nothing was found.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The entries of `details.causes`.
    pub fn causes(&self) -> Vec<StatusCause> {
        self.0.iter().map(FieldError::cause).collect()
    }
}

impl fmt::Display for FieldErrors {
    /// One error as it is, several as `[first, second]`, each text once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut messages: Vec<String> = Vec::with_capacity(self.0.len());
        for error in &self.0 {
            let message = error.to_string();
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        match messages.as_slice() {
            [only] => f.write_str(only),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

impl std::error::Error for FieldErrors {}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        Self(vec![error])
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        Self(errors.into_iter().collect())
    }
}

impl Extend<FieldError> for FieldErrors {
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        self.0.extend(errors);
    }
}

impl IntoIterator for FieldErrors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a FieldErrors {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(error: FieldError, expected: &str) {
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_path_reads_as_in_kubernetes() {
        let spec = FieldPath::new("spec").child("template").child("spec");
        let port = spec.child("containers").index(0).child("ports").index(1).child("containerPort");
        assert_eq!(port.to_string(), "spec.template.spec.containers[0].ports[1].containerPort");
        assert_eq!(FieldPath::new("metadata").child("labels").key("a/b").to_string(), "metadata.labels[a/b]");
        assert_eq!(FieldPath::root().to_string(), "");
        assert_eq!(FieldPath::root().index(3).child("x").to_string(), "[3].x");
    }

    #[test]
    fn a_message_reads_as_in_kubernetes() {
        let path = || FieldPath::new("spec").child("replicas");
        check(
            FieldError::invalid(path(), -1, "must be greater than or equal to 0"),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        );
        check(FieldError::invalid(path(), "a\"b", ""), "spec.replicas: Invalid value: \"a\\\"b\"");
        check(FieldError::invalid(path(), Value::Null, "no"), "spec.replicas: Invalid value: \"null\": no");
        check(FieldError::invalid(path(), json!({"a": 1}), "no"), "spec.replicas: Invalid value: {\"a\":1}: no");
        check(
            FieldError::not_supported(path(), "x", &["A", "B"]),
            "spec.replicas: Unsupported value: \"x\": supported values: \"A\", \"B\"",
        );
        check(FieldError::required(path(), ""), "spec.replicas: Required value");
        check(FieldError::required(path(), "why"), "spec.replicas: Required value: why");
        check(FieldError::forbidden(path(), "never"), "spec.replicas: Forbidden: never");
        check(FieldError::duplicate(path(), "x"), "spec.replicas: Duplicate value: \"x\"");
        check(FieldError::too_long(path(), 63), "spec.replicas: Too long: may not be more than 63 bytes");
        check(FieldError::too_many(path(), 17, 16), "spec.replicas: Too many: 17: must have at most 16 items");
        check(FieldError::not_found(path(), "x"), "spec.replicas: Not found: \"x\"");
    }

    #[test]
    fn several_errors_are_listed_and_a_text_is_shown_once() {
        let error = |path| FieldError::required(FieldPath::new(path), "");
        let errors: FieldErrors = [error("a"), error("b"), error("a")].into_iter().collect();
        assert_eq!(errors.to_string(), "[a: Required value, b: Required value]");
        assert_eq!(errors.causes().len(), 3);
        assert_eq!(FieldErrors::from(error("a")).to_string(), "a: Required value");
    }
}
