//! From what a client sent to a value in the stored version, and back.

use serde_json::Value;

use super::preparation::Preparation;
use super::{Body, Subresource};
use crate::resource::ServedVersion;
use crate::status::Status;

/// `apps/v1`, or `v1` for the core group.
pub(super) fn api_version(version: &ServedVersion) -> String {
    match version.group {
        "" => version.version.to_owned(),
        group => format!("{group}/{}", version.version),
    }
}

impl Preparation<'_> {
    /// The object of a request, checked against its schema, in the stored version.
    pub(super) fn decode(&mut self, body: &Body) -> Result<Value, Status> {
        let object = match body {
            Body::Json(bytes) => self.decode_json(bytes)?,
            Body::Value(value) => value.clone(),
        };
        self.to_stored(object)
    }

    fn decode_json(&mut self, bytes: &[u8]) -> Result<Value, Status> {
        serde_json::from_slice(bytes).map_err(|error| Status::bad_request(format!("failed to decode JSON: {error}")))
    }

    /// Checks that the object is of the version and kind of the path, and turns it into the stored version.
    pub(super) fn to_stored(&self, mut object: Value) -> Result<Value, Status> {
        let served = &self.mutation.target.served;
        if matches!(self.mutation.target.subresource, Subresource::Named(_)) {
            return Ok(object);
        }
        let spoken = api_version(&served.version);
        self.check_type(&object, &spoken)?;
        if let Some(to_stored) = served.version.to_stored {
            to_stored(&mut object);
        }
        let stored = served.definition.versions.first().map_or(spoken, api_version);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Value::String(stored));
            fields.insert("kind".to_owned(), Value::String(served.definition.kind.to_owned()));
        }
        Ok(object)
    }

    /// The stored object in the version that is spoken.
    pub(super) fn to_spoken(&self, mut object: Value) -> Value {
        let version = &self.mutation.target.served.version;
        if let Some(from_stored) = version.from_stored {
            from_stored(&mut object);
        }
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Value::String(api_version(version)));
        }
        object
    }

    fn check_type(&self, object: &Value, spoken: &str) -> Result<(), Status> {
        let kind = self.mutation.target.served.definition.kind;
        let says = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        if !object.is_object() {
            return Err(Status::bad_request(format!("expected a {kind} object")));
        }
        match (says("apiVersion"), says("kind")) {
            ("", "") => Ok(()),
            (version, _) if !version.is_empty() && version != spoken => Err(Status::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({spoken})"
            ))),
            (_, other) if !other.is_empty() && other != kind => Err(Status::bad_request(format!(
                "the kind in the data ({other}) does not match the expected kind ({kind})"
            ))),
            _ => Ok(()),
        }
    }
}
