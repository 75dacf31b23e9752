//! What is answered.

mod body;
mod gzip;
mod list;
mod table;
mod view;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use sampan_core::status::Status;
use serde_json::Value;

pub(crate) use body::Body;
pub(crate) use list::{ListMetadata, list};
pub(crate) use view::{EventKind, View, error_event};

/// An answer.
pub(crate) type Response = hyper::Response<Body>;

/// The content type of JSON.
pub(crate) const JSON: &str = "application/json";
/// The content type of YAML.
pub(crate) const YAML: &str = "application/yaml";

/// An answer without a body.
pub(crate) fn empty(code: u16) -> Response {
    with_body(code, Body::Empty)
}

/// An answer with this body.
pub(crate) fn with_body(code: u16, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// 200 with these bytes.
pub(crate) fn bytes(body: impl Into<Bytes>, content_type: &'static str) -> Response {
    typed(200, Body::Full(body.into()), content_type)
}

/// An answer with a body of that type.
pub(crate) fn typed(code: u16, body: Body, content_type: &'static str) -> Response {
    let mut response = with_body(code, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON value.
pub(crate) fn json(code: u16, value: &Value, pretty: bool) -> Response {
    let text = if pretty { pretty_text(value) } else { value.to_string() };
    typed(code, Body::Full(text.into()), JSON)
}

/// JSON as people read it.
pub(crate) fn pretty_text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("writing JSON to memory cannot fail");
    text.push('\n');
    text
}

/// A refusal.
pub(crate) fn refusal(status: &Status) -> Response {
    let mut response = json(status.code, &status.to_value(), false);
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    response
}
