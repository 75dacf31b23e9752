//! From what a client sent to a value in the stored version, and back.

use serde_json::Value;

use super::preparation::Preparation;
use super::scale::{SCALE_KIND, SCALE_VERSION, scale_schema};
use super::{Body, FieldValidation, Subresource};
use crate::resource::{Served, ServedVersion, group_version};
use crate::schema::{self, DecodeError, Decoded, Schema, Unexpected, strict_decoding_error};
use crate::status::{Status, StatusCause, StatusDetails};

impl Preparation<'_> {
    /// The object of a request, checked against its schema, in the stored version.
    pub(super) fn decode(&mut self, body: &Body) -> Result<Value, Status> {
        let schema = self.reading_schema()?;
        let decoded = self.pruned(read(&schema, body));
        let object = self.accept(decoded)?;
        self.to_stored(object)
    }

    /// The same of what is applied. A client would own the fields it applies, so that it is told of those nobody knows
    /// whatever it says of validation.
    pub(super) fn decode_applied(&mut self, body: &Body) -> Result<Value, Status> {
        let decoded = self.pruned(read(&self.reading_schema()?, body));
        if let (Ok(Decoded { value, unexpected }), Body::Json(_)) = (&decoded, body) {
            let unknown = unexpected.iter().filter_map(|found| match found {
                Unexpected::Unknown(path) => Some(format!(".{path}: field not declared in schema")),
                Unexpected::Duplicate(_) => None,
            });
            let unknown: Vec<String> = unknown.collect();
            match unknown.as_slice() {
                [] => {}
                [only] => return Err(self.untyped(value, only)),
                several => return Err(self.untyped(value, &format!("errors:\n  {}", several.join("\n  ")))),
            }
        }
        let object = self.accept(decoded)?;
        self.to_stored(object)
    }

    /// As Kubernetes words it: an error it has no reason for.
    fn untyped(&self, applied: &Value, why: &str) -> Status {
        let Served { definition, version } = &self.mutation.target.served;
        let says = |field: &str| applied.pointer(field).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (says("/metadata/namespace"), says("/metadata/name"));
        let kind = format!("{}, Kind={}", version.api_version(), definition.kind);
        Status::unexplained(format!("failed to create typed patch object ({namespace}/{name}; {kind}): {why}"))
    }

    /// The `Scale` of a request, checked against its schema.
    pub(super) fn decode_scale(&mut self, body: &Body) -> Result<Value, Status> {
        let scale = self.accept(read(&scale_schema()?, body))?;
        check_type(&scale, SCALE_VERSION, SCALE_KIND)?;
        Ok(scale)
    }

    /// The `Scale` that a patch led to, checked against its schema.
    pub(super) fn conform_scale(&mut self, scale: Value) -> Result<Value, Status> {
        let scale = self.accept(schema::conform(&scale_schema()?, scale))?;
        check_type(&scale, SCALE_VERSION, SCALE_KIND)?;
        Ok(scale)
    }

    /// The value of another kind that a request posts to a subresource, checked against that kind's schema.
    pub(super) fn decode_spoken(&mut self, body: &Body) -> Result<Value, Status> {
        let spoken = self.mutation.target.named().and_then(|named| named.spoken);
        let spoken = spoken.ok_or_else(Status::method_not_allowed)?;
        let name = spoken.schema.ok_or_else(Status::method_not_allowed)?;
        let schema = Schema::named(name).ok_or_else(|| Status::internal(format!("no schema {name}")))?;
        let value = self.accept(read(&schema, body))?;
        check_type(&value, &group_version(spoken.group, spoken.version), spoken.kind)?;
        Ok(value)
    }

    /// Without the fields the type itself does not know.
    fn pruned(&self, decoded: Result<Decoded, DecodeError>) -> Result<Decoded, DecodeError> {
        let Decoded { mut value, mut unexpected } = decoded?;
        let dropped = self.definition.strategy.prune(&mut value);
        unexpected.extend(dropped.into_iter().map(Unexpected::Unknown));
        Ok(Decoded { value, unexpected })
    }

    /// A value that a patch led to, checked against its schema, in the stored version.
    pub(super) fn conform(&mut self, value: Value) -> Result<Value, Status> {
        let decoded = self.pruned(schema::conform(&self.reading_schema()?, value));
        let object = self.accept(decoded)?;
        self.to_stored(object)
    }

    /// The schema of the version that is spoken.
    pub(super) fn schema(&self) -> Result<Schema, Status> {
        let source = &self.mutation.target.served.version.schema;
        source.schema().ok_or_else(|| Status::internal(format!("no schema {}", source.name())))
    }

    /// What of it an object is read by.
    fn reading_schema(&self) -> Result<Schema, Status> {
        let source = &self.mutation.target.served.version.schema;
        source.reading_schema().ok_or_else(|| Status::internal(format!("no schema {}", source.name())))
    }

    /// Refuses, warns of, or passes over what does not belong there, as the request asks.
    fn accept(&mut self, decoded: Result<Decoded, DecodeError>) -> Result<Value, Status> {
        let Decoded { value, unexpected } = decoded.map_err(|error| {
            let field = error.path().map(ToString::to_string).unwrap_or_default();
            let reason = "FieldValueTypeInvalid".to_owned();
            self.unreadable(&error.to_string(), vec![StatusCause { reason, message: error.to_string(), field }])
        })?;
        match self.mutation.options.field_validation {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => self.warnings.extend(unexpected.iter().map(ToString::to_string)),
            FieldValidation::Strict if unexpected.is_empty() => {}
            FieldValidation::Strict => {
                let causes = unexpected.iter().map(cause_of).collect();
                return Err(self.unreadable(&strict_decoding_error(&unexpected), causes));
            }
        }
        Ok(value)
    }

    fn unreadable(&self, why: &str, causes: Vec<StatusCause>) -> Status {
        let Served { definition, version } = &self.mutation.target.served;
        let spoken = self.mutation.target.named().and_then(|named| named.spoken);
        let (kind, version) = match (spoken, &self.mutation.target.subresource) {
            (Some(spoken), _) => (spoken.kind, spoken.version),
            (None, Subresource::Scale) => (SCALE_KIND, "v1"),
            (None, _) => (definition.kind, version.version),
        };
        let status = Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"));
        match causes.is_empty() {
            true => status,
            false => status.with_details(StatusDetails { causes, ..StatusDetails::default() }),
        }
    }

    /// Checks that the object is of the version and kind of the path, and turns it into the stored version.
    pub(super) fn to_stored(&self, object: Value) -> Result<Value, Status> {
        self.stored_from(&self.mutation.target.served.version, object)
    }

    /// Checks that the object is of that version of the kind of the path, and turns it into the stored version.
    pub(super) fn stored_from(&self, version: &ServedVersion, mut object: Value) -> Result<Value, Status> {
        let (definition, spoken) = (self.definition, version.api_version());
        check_type(&object, &spoken, definition.kind)?;
        if let Some(to_stored) = version.to_stored {
            to_stored(&mut object);
        }
        // What a webhook converts is worked on as it is spoken.
        let stored = definition.stored_version().filter(|_| definition.converter.is_none());
        let stored = stored.map_or(spoken, ServedVersion::api_version);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Value::String(stored));
            fields.insert("kind".to_owned(), Value::String(definition.kind.to_owned()));
        }
        Ok(object)
    }

    /// The stored object in the version that is spoken.
    pub(super) fn to_spoken(&self, mut object: Value) -> Value {
        let Served { definition, version } = &self.mutation.target.served;
        if definition.strategy.completes() {
            definition.strategy.default(&mut object);
        }
        if let Some(from_stored) = version.from_stored {
            from_stored(&mut object);
        }
        if let Some(fields) = object.as_object_mut() {
            fields.insert("apiVersion".to_owned(), Value::String(version.api_version()));
        }
        object
    }
}

/// Refuses a value that says it is of another version or kind than is spoken where it was sent.
fn check_type(object: &Value, spoken: &str, kind: &str) -> Result<(), Status> {
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

fn read(schema: &Schema, body: &Body) -> Result<Decoded, DecodeError> {
    match body {
        Body::Json(bytes) => schema::decode(schema, bytes),
        Body::Value(value) => schema::conform(schema, value),
    }
}

/// JSON as it is: what has no schema of its own here.
pub(super) fn plain(body: &Body) -> Result<Value, Status> {
    match body {
        Body::Json(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| Status::bad_request(format!("failed to decode JSON: {error}"))),
        Body::Value(value) => Ok(value.clone()),
    }
}

/// Says where an unexpected field stands, so that a manifest's line can be found.
fn cause_of(unexpected: &Unexpected) -> StatusCause {
    let (Unexpected::Unknown(path) | Unexpected::Duplicate(path)) = unexpected;
    StatusCause { reason: "FieldValueInvalid".to_owned(), message: unexpected.to_string(), field: path.to_string() }
}
