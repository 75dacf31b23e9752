//! The rules every object's metadata follows.

use serde_json::Value;

use super::ResourceDefinition;
use crate::object::{FieldError, FieldErrors, FieldPath, names};
use crate::status::StatusCause;

/// Checks an object's metadata, and what of it may not change where `old` is given.
pub fn validate_metadata(_definition: &ResourceDefinition, object: &Value, _old: Option<&Value>) -> Vec<StatusCause> {
    let mut errors = FieldErrors::default();
    let path = FieldPath::new("metadata");
    let metadata = object.get("metadata");
    let name = metadata.and_then(|it| it.get("name")).and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), "name or generateName is required"));
    }
    let texts = |field: &str| -> Vec<(&str, &str)> {
        let map = metadata.and_then(|it| it.get(field)).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
    };
    names::labels(texts("labels"), &path.child("labels"), &mut errors);
    names::annotations(texts("annotations"), &path.child("annotations"), &mut errors);
    errors.causes()
}
