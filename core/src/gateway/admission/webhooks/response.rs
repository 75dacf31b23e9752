//! What a webhook answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::gateway::asking::Reply;
use crate::object::patch::JsonPatch;
use crate::status::Status;

/// What was asked, as far as the answer is read by it.
pub(super) struct Question<'a> {
    pub(super) webhook: &'a str,
    pub(super) uid: &'a str,
    pub(super) review_version: &'a str,
    /// Whether the answer may change the object.
    pub(super) is_mutating: bool,
}

/// What a webhook says that lets a request pass.
#[derive(Debug, Clone)]
pub(super) struct Response {
    /// What it changes.
    pub(super) patch: Option<JsonPatch>,
    /// For the client's eyes.
    pub(super) warnings: Vec<String>,
}

/// What came of a question: the webhook's word, or its refusal; or why neither is there.
pub(super) type Answered = Result<Result<Response, Status>, String>;

/// The reasons of refusals a webhook may give, as in Kubernetes.
const REASONS: [&str; 17] = [
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "Gone",
    "Invalid",
    "ServerTimeout",
    "Timeout",
    "TooManyRequests",
    "BadRequest",
    "MethodNotAllowed",
    "NotAcceptable",
    "RequestEntityTooLarge",
    "UnsupportedMediaType",
    "InternalError",
    "ServiceUnavailable",
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Review {
    api_version: String,
    kind: String,
    response: Option<Said>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    uid: String,
    allowed: bool,
    status: Option<Refusal>,
    patch: Option<String>,
    patch_type: Option<String>,
    warnings: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    message: String,
    reason: String,
    code: u16,
}

/// What came of a call.
pub(super) fn answered(asked: &Question<'_>, reply: &Reply) -> Answered {
    let body = reply.as_ref().map_err(|why| format!("failed to call webhook: {why}"))?;
    let said = read(asked, body).map_err(|why| format!("received invalid webhook response: {why}"))?;
    if !said.allowed {
        return Ok(Err(denied(asked.webhook, said.status.unwrap_or_default())));
    }
    let patch = said.patch.as_deref().map(patch).transpose()?;
    Ok(Ok(Response { patch, warnings: said.warnings.unwrap_or_default() }))
}

fn read(asked: &Question<'_>, body: &[u8]) -> Result<Said, String> {
    let review: Review = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let said = review.response.ok_or("webhook response was absent")?;
    if asked.review_version != "v1" {
        return Ok(Said { patch: said.patch.filter(|_| asked.is_mutating), ..said });
    }
    if (review.api_version.as_str(), review.kind.as_str()) != ("admission.k8s.io/v1", "AdmissionReview") {
        let group = review.api_version.split_once('/').map_or("", |(group, _)| group);
        let version = review.api_version.rsplit('/').next().unwrap_or_default();
        return Err(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {group}/{version}, Kind={}",
            review.kind
        ));
    }
    if said.uid != asked.uid {
        return Err(format!("expected response.uid={:?}, got {:?}", asked.uid, said.uid));
    }
    check_patch(&said, asked.is_mutating)?;
    Ok(said)
}

fn check_patch(said: &Said, is_mutating: bool) -> Result<(), String> {
    let why = match (said.patch.as_deref(), said.patch_type.as_deref()) {
        (None, None) => return Ok(()),
        (Some(_), _) if !is_mutating => "validating webhook may not return response.patch",
        (_, Some(_)) if !is_mutating => "validating webhook may not return response.patchType",
        (Some(_), None) => "webhook returned response.patch but not response.patchType",
        (None, Some(_)) => "webhook returned response.patchType but not response.patch",
        (Some(_), Some("JSONPatch")) => return Ok(()),
        (Some(_), Some(other)) => return Err(format!("webhook returned invalid response.patchType of {other:?}")),
    };
    Err(why.to_owned())
}

/// A patch in base64. An empty one is none.
fn patch(encoded: &str) -> Result<JsonPatch, String> {
    let bytes = STANDARD.decode(encoded).map_err(|error| format!("illegal base64 data in response.patch: {error}"))?;
    JsonPatch::parse(&bytes).map_err(|error| error.to_string())
}

/// The webhook's refusal, with its own code where that is one of an error.
fn denied(webhook: &str, refusal: Refusal) -> Status {
    let by = format!("admission webhook {webhook:?} denied the request");
    let message = match (refusal.message.as_str(), refusal.reason.as_str()) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let reason = REASONS.into_iter().find(|reason| *reason == refusal.reason).unwrap_or_default();
    Status { code: refusal.code.max(400), reason, message, details: None, continue_token: String::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(is_mutating: bool, review_version: &'static str) -> Question<'static> {
        Question { webhook: "guard.example.com", uid: "u", review_version, is_mutating }
    }

    fn review(response: Value) -> Reply {
        Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
            .to_string()
            .into())
    }

    #[test]
    fn answers_that_are_none_are_told_apart() {
        let patch = STANDARD.encode("[]");
        let cases: [(bool, Reply, &str); 9] = [
            (true, Err("refused".into()), "failed to call webhook: refused"),
            (true, Ok("{".into()), "received invalid webhook response: EOF while parsing"),
            (true, Ok("{}".into()), "received invalid webhook response: webhook response was absent"),
            (
                true,
                Ok(r#"{"apiVersion":"v1","kind":"Pod","response":{}}"#.into()),
                "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /v1, Kind=Pod",
            ),
            (
                true,
                review(json!({"uid": "w", "allowed": true})),
                "received invalid webhook response: expected response.uid=\"u\", got \"w\"",
            ),
            (
                true,
                review(json!({"uid": "u", "allowed": true, "patch": patch})),
                "received invalid webhook response: webhook returned response.patch but not response.patchType",
            ),
            (
                true,
                review(json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "Merge"})),
                "received invalid webhook response: webhook returned invalid response.patchType of \"Merge\"",
            ),
            (
                false,
                review(json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch"})),
                "received invalid webhook response: validating webhook may not return response.patch",
            ),
            (
                true,
                review(json!({"uid": "u", "allowed": true, "patch": "?", "patchType": "JSONPatch"})),
                "illegal base64 data in response.patch",
            ),
        ];
        for (is_mutating, reply, why) in cases {
            let found = answered(&asked(is_mutating, "v1"), &reply).expect_err(why);
            assert!(found.starts_with(why), "{found}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_code_where_that_is_one() {
        let by = "admission webhook \"guard.example.com\" denied the request";
        let cases = [
            (json!({}), 400, "", format!("{by} without explanation")),
            (json!({"message": "no", "code": 403}), 403, "", format!("{by}: no")),
            (json!({"reason": "Forbidden", "code": 200}), 400, "Forbidden", format!("{by}: Forbidden")),
        ];
        for (status, code, reason, message) in cases {
            let reply = review(json!({"uid": "u", "allowed": false, "status": status}));
            let denied = answered(&asked(false, "v1"), &reply).unwrap().unwrap_err();
            assert_eq!((denied.code, denied.reason, denied.message), (code, reason, message));
        }
    }

    #[test]
    fn an_answer_of_the_older_version_needs_no_uid() {
        let patch = STANDARD.encode(r#"[{"op": "add", "path": "/a", "value": 1}]"#);
        let reply = |patch: &str| Ok(json!({"response": {"allowed": true, "patch": patch}}).to_string().into());
        let heard = answered(&asked(true, "v1beta1"), &reply(&patch)).unwrap().unwrap();
        assert!(heard.patch.is_some());
        assert!(answered(&asked(false, "v1beta1"), &reply(&patch)).unwrap().unwrap().patch.is_none());
    }
}
