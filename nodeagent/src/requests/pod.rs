//! Statuses and deletions of pods.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use sampan_machine::Decision;
use serde_json::json;

use super::{ApiRequest, request};
use crate::host::{Answer, PodRef, StatusPost};

/// The header that carries a decision. A server that does not know it ignores it.
pub const DECISION_HEADER: &str = "Sampan-Decision";
/// Bytes of a decision at most; a longer one loses its details first.
const DECISION_BYTES: usize = 12 * 1024;
/// Unmet guards and commands kept of a decision that is too long.
const DETAILS_KEPT: usize = 8;

/// Tells a pod's status.
///
/// # Errors
/// When the pod's name makes no path.
pub fn status(post: StatusPost) -> Result<ApiRequest, http::Error> {
    let path = format!("{}/status?fieldManager=kubelet", path(&post.pod));
    let content = HeaderValue::from_static("application/strategic-merge-patch+json");
    let mut request = Request::builder().method(Method::PATCH).uri(&path).header(CONTENT_TYPE, content);
    if let Some(decision) = post.decision {
        request = request.header(DECISION_HEADER, header_text(*decision));
    }
    request.body(serde_json::to_vec(&post.patch).unwrap_or_default())
}

/// Deletes an object of which nothing is left here, provided it is still the same object.
///
/// # Errors
/// When the pod's name makes no path.
pub fn deletion(pod: &PodRef) -> Result<ApiRequest, http::Error> {
    let options = json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "preconditions": { "uid": &*pod.uid.0 },
    });
    request(Method::DELETE, &path(pod), "application/json", &options)
}

/// What a refusal with this code means to the pod.
pub fn refused(code: u16, message: String) -> Answer {
    if code == 404 { Answer::Missing } else { Answer::Failed(message) }
}

fn path(pod: &PodRef) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
}

/// The decision in the bytes a header may hold.
fn header_text(mut decision: Decision) -> String {
    let mut text = ascii(&decision);
    if text.len() > DECISION_BYTES {
        decision.wake.truncate(1);
        decision.guards.truncate(DETAILS_KEPT);
        decision.unmet.truncate(DETAILS_KEPT);
        decision.commands.truncate(DETAILS_KEPT);
        decision.unmet.iter_mut().for_each(|unmet| unmet.detail = unmet.detail.chars().take(256).collect());
        text = ascii(&decision);
    }
    text
}

/// JSON in ASCII alone: every other character escaped as JSON allows.
fn ascii(decision: &Decision) -> String {
    let text = serde_json::to_string(decision).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            escaped.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_crosses_a_header_unharmed() {
        let decision = Decision {
            operator: "node/小舟".to_owned(),
            object: "pods/default/🚣".to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            wake: Vec::new(),
            snapshot: 7,
            from: "Starting".to_owned(),
            to: "Ready".to_owned(),
            guards: vec!["every container is ready".to_owned()],
            unmet: Vec::new(),
            commands: Vec::new(),
            reads: Vec::new(),
        };
        let text = header_text(decision.clone());
        assert!(http::HeaderValue::from_str(&text).is_ok_and(|value| value.to_str().is_ok()));
        assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    }
}
