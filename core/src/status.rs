//! The error every client understands: a Kubernetes `Status`.

use serde::Serialize;

/// A refused request, as `kubectl` and the client libraries expect it.
///
/// Serialized, it is the `v1 Status` object with `status: Failure`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound`.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<StatusDetails>>,
    /// How a list that is refused may be gone on with; empty for every other.
    pub continue_token: String,
}

/// What a [`Status`] is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDetails {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind or resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One cause for each field at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
    /// Seconds after which a retry makes sense; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

/// One field at fault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StatusCause {
    /// Such as `FieldValueRequired`.
    pub reason: String,
    /// The fault.
    pub message: String,
    /// The field's path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    fn of(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: String::new() }
    }

    /// 500 without a reason, where Kubernetes has none.
    pub fn unexplained(message: impl Into<String>) -> Self {
        Self::of(500, "", message)
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::of(400, "BadRequest", message)
    }

    /// 401: nobody vouches for the caller.
    pub fn unauthorized() -> Self {
        Self::of(401, "Unauthorized", "Unauthorized")
    }

    /// 403: understood, known, refused.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::of(403, "Forbidden", message)
    }

    /// 404 for an object: `pods "web" not found`. `resource` is `pods` or `deployments.apps`.
    pub fn not_found(resource: &str, name: &str) -> Self {
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut status = Self::of(404, "NotFound", format!("{resource} {name:?} not found"));
        status.details = Some(Box::new(StatusDetails {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            ..StatusDetails::default()
        }));
        status
    }

    /// 404 for a path nothing is served at.
    pub fn no_such_path() -> Self {
        Self::of(404, "NotFound", "the server could not find the requested resource")
    }

    /// 405: the verb is not served here.
    pub fn method_not_allowed() -> Self {
        Self::of(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &str, name: &str) -> Self {
        let (kind, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut status = Self::of(409, "AlreadyExists", format!("{resource} {name:?} already exists"));
        status.details = Some(Box::new(StatusDetails {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            ..StatusDetails::default()
        }));
        status
    }

    /// 409: what the write was based on has changed.
    pub fn conflict(resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::of(409, "Conflict", message)
    }

    /// 409: an apply would change fields that others own.
    pub fn apply_conflict(message: impl Into<String>, causes: Vec<StatusCause>) -> Self {
        Self::of(409, "Conflict", message).with_details(StatusDetails { causes, ..StatusDetails::default() })
    }

    /// 410: the revision asked for is below the floor.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::of(410, "Expired", message)
    }

    /// 413: larger than the server takes.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::of(413, "RequestEntityTooLarge", message)
    }

    /// 415: a content type nobody reads here.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::of(415, "UnsupportedMediaType", message)
    }

    /// 406: none of the accepted types can be written.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::of(406, "NotAcceptable", message)
    }

    /// 422: understood, but fields are at fault. `kind` is `Pod` or `Deployment.apps`.
    pub fn invalid(kind: &str, name: &str, causes: Vec<StatusCause>) -> Self {
        let listed: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let faults = match listed.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let mut status = Self::of(422, "Invalid", format!("{kind} {name:?} is invalid: {faults}"));
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        status.details = Some(Box::new(StatusDetails {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            causes,
            ..StatusDetails::default()
        }));
        status
    }

    /// 429: come back later.
    pub fn too_many_requests(message: impl Into<String>) -> Self {
        Self::of(429, "TooManyRequests", message)
    }

    /// 500: our fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::of(500, "InternalError", message)
    }

    /// 503: not now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::of(503, "ServiceUnavailable", message)
    }

    /// 504: took longer than the caller or the server allows.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::of(504, "Timeout", message)
    }

    /// With the details replaced.
    pub fn with_details(mut self, details: StatusDetails) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The `v1 Status` object.
    pub fn to_value(&self) -> serde_json::Value {
        let metadata = match self.continue_token.as_str() {
            "" => serde_json::json!({}),
            token => serde_json::json!({ "continue": token }),
        };
        let mut value = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let (Some(details), Some(fields)) = (&self.details, value.as_object_mut()) {
            fields.insert("details".into(), serde_json::json!(details));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_causes_are_listed_in_brackets() {
        let cause = |field: &str| StatusCause {
            reason: "FieldValueRequired".into(),
            message: "Required value".into(),
            field: field.into(),
        };
        let one = Status::invalid("Pod", "web", vec![cause("spec.a")]);
        assert_eq!(one.message, "Pod \"web\" is invalid: spec.a: Required value");
        let two = Status::invalid("Pod", "web", vec![cause("spec.a"), cause("spec.b")]);
        assert_eq!(two.message, "Pod \"web\" is invalid: [spec.a: Required value, spec.b: Required value]");
    }
}
