//! Bodies of requests: bounded in size and time, JSON or YAML.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_TYPE;
use sampan_core::manifest;
use sampan_core::status::Status;

use super::protobuf;

/// The largest body of a request, in bytes: what Kubernetes accepts.
const BODY_BYTES_MAX: usize = 3 << 20;
/// How much of a body that is too large is read and thrown away, so that the client sees the refusal and no broken pipe.
const DRAINED_BYTES_MAX: usize = 16 << 20;
/// The longest a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The deepest a body may nest: deeper ones are an attack on the reader's stack, not an object.
const NESTING_MAX: usize = 100;

/// The encoding of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' protobuf.
    Protobuf,
}

/// The media type of a body without its parameters; empty where the client does not say.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

impl Content {
    /// The encoding of an object's body.
    ///
    /// # Errors
    /// `UnsupportedMediaType` where it is one we do not read.
    pub(crate) fn of_object(headers: &HeaderMap) -> Result<Self, Status> {
        match content_type(headers) {
            "" | "application/json" => Ok(Self::Json),
            "application/yaml" => Ok(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Ok(Self::Protobuf),
            other => Err(Status::unsupported_media_type(format!(
                "the body of the request was in an unknown format ({other}) - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            ))),
        }
    }
}

/// The whole body of a request.
///
/// # Errors
/// Where it is too large, too slow, or breaks off.
pub(crate) async fn read(body: Incoming) -> Result<Bytes, Status> {
    let too_large = || Status::too_large(format!("Request entity too large: limit is {BODY_BYTES_MAX}"));
    if body.size_hint().lower() > DRAINED_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let collect = async {
        let mut body = body;
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut total = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Status::bad_request(format!("failed to read the body: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            total += data.len();
            match total {
                0..=BODY_BYTES_MAX => {}
                _ if total <= DRAINED_BYTES_MAX => continue,
                _ => return Err(too_large()),
            }
            match (first.is_empty(), rest.is_empty()) {
                (true, true) => first = data,
                (_, true) => {
                    rest.extend_from_slice(&first);
                    rest.extend_from_slice(&data);
                    first = Bytes::new();
                }
                _ => rest.extend_from_slice(&data),
            }
        }
        match total {
            0..=BODY_BYTES_MAX => Ok(if rest.is_empty() { first } else { rest.freeze() }),
            _ => Err(too_large()),
        }
    };
    let timely = tokio::time::timeout(BODY_TIMEOUT, collect).await;
    timely.unwrap_or_else(|_| Err(Status::timeout("the body did not arrive in time")))
}

/// The body as JSON text the gateway may decode: UTF-8 and not too deep.
///
/// # Errors
/// `BadRequest` where it is neither.
pub(crate) fn to_json(body: Bytes, content: Content) -> Result<Bytes, Status> {
    if content == Content::Protobuf {
        return protobuf::value(&body).map(|value| value.to_string().into());
    }
    let text = std::str::from_utf8(&body).map_err(|_| Status::bad_request("the body is not UTF-8"))?;
    match content {
        Content::Json | Content::Protobuf => check_nesting(text).map(|()| body),
        Content::Yaml => {
            let value = manifest::value(text).map_err(|problem| {
                let why = format!("yaml: line {}: {}", problem.at.line, problem.message);
                Status::bad_request(format!("error converting YAML to JSON: {why}"))
            })?;
            Ok(value.to_string().into())
        }
    }
}

fn check_nesting(text: &str) -> Result<(), Status> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(Status::bad_request(format!("the body nests deeper than {NESTING_MAX} levels")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Bytes, Status> {
        to_json(Bytes::copy_from_slice(text.as_bytes()), Content::Json)
    }

    #[test]
    fn deep_nesting_is_refused_unless_it_is_text() {
        let deep = "[".repeat(NESTING_MAX + 1);
        assert_eq!(json(&deep).unwrap_err().code, 400);
        assert!(json(&format!("\"\\\"{deep}\"")).is_ok());
        assert!(json(&"[]".repeat(NESTING_MAX * 2)).is_ok());
    }

    #[test]
    fn what_is_not_utf_8_is_refused() {
        let body = Bytes::from_static(b"{\"a\":\"\xff\"}");
        assert_eq!(to_json(body, Content::Json).unwrap_err().message, "the body is not UTF-8");
    }

    #[test]
    fn yaml_becomes_json_and_a_fault_names_its_place() {
        let yaml = |text: &'static str| to_json(Bytes::from_static(text.as_bytes()), Content::Yaml);
        let value: serde_json::Value =
            serde_json::from_slice(&yaml("kind: ConfigMap\ndata: {a: \"1\"}\n").unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"kind": "ConfigMap", "data": {"a": "1"}}));
        let refused = yaml("a: 1\n b: 2\n").unwrap_err();
        assert!(refused.message.starts_with("error converting YAML to JSON"), "{}", refused.message);
    }
}
