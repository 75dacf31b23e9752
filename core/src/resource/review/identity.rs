//! Who somebody is, and tokens.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::set_status;
use crate::access::Identity;
use crate::access::token::{TokenRequest, Tokens};
use crate::object::Object;
use crate::resource::fill::set;
use crate::resource::{AnswerContext, Question};
use crate::status::Status;

/// Whose token is it?
pub(super) struct TokenReviewQuestion;

#[derive(Deserialize)]
struct TokenReview {
    spec: TokenReviewSpec,
}

#[derive(Deserialize)]
struct TokenReviewSpec {
    #[serde(default)]
    token: String,
    #[serde(default)]
    audiences: Vec<String>,
}

impl Question for TokenReviewQuestion {
    fn answer(&self, asked: &mut Value, _: Option<&Object>, cx: &mut AnswerContext<'_>) -> Result<(), Status> {
        let review: TokenReview = read(asked, "TokenReview")?;
        if review.spec.token.is_empty() {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
        let verified = tokens(cx)?.verify(&review.spec.token, &review.spec.audiences, cx.snapshot, cx.now);
        let status = match verified {
            Ok(verified) => json!({
                "authenticated": true, "user": user_info(&verified.identity), "audiences": verified.audiences,
            }),
            Err(fault) => json!({"user": {}, "error": fault.to_string()}),
        };
        set_status(asked, status);
        Ok(())
    }
}

/// Who am I?
pub(super) struct SelfQuestion;

impl Question for SelfQuestion {
    fn answer(&self, asked: &mut Value, _: Option<&Object>, cx: &mut AnswerContext<'_>) -> Result<(), Status> {
        set_status(asked, json!({"userInfo": user_info(cx.identity)}));
        if let Some(metadata) = asked.get_mut("metadata") {
            set(metadata, "creationTimestamp", whole_seconds(cx.now));
        }
        Ok(())
    }
}

/// A token for a service account, please.
pub(in crate::resource) struct TokenQuestion;

impl Question for TokenQuestion {
    fn answer(&self, asked: &mut Value, of: Option<&Object>, cx: &mut AnswerContext<'_>) -> Result<(), Status> {
        let account = of.ok_or_else(Status::method_not_allowed)?;
        let request: TokenRequest = read(asked, "TokenRequest")?;
        let id = cx.entropy.uuid();
        let tokens = tokens(cx)?;
        let claims = tokens.claims(cx.identity, account, &request.spec, id, cx.snapshot, cx.now)?;
        let spec = asked.get("spec").and_then(|spec| spec.get("boundObjectRef")).cloned().unwrap_or(Value::Null);
        let expires = jiff::Timestamp::from_second(claims.expires).unwrap_or(cx.now);
        *asked = json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": claims.private.service_account.name, "namespace": claims.private.namespace,
                "creationTimestamp": whole_seconds(cx.now),
            },
            "spec": {
                "audiences": claims.audiences, "expirationSeconds": claims.expires - claims.issued, "boundObjectRef": spec,
            },
            "status": {"token": tokens.sign(&claims), "expirationTimestamp": whole_seconds(expires)},
        });
        Ok(())
    }
}

fn tokens<'a>(cx: &AnswerContext<'a>) -> Result<&'a Tokens, Status> {
    cx.tokens.ok_or_else(|| Status::internal("this server gives no tokens"))
}

fn read<'v, T: Deserialize<'v>>(asked: &'v Value, kind: &str) -> Result<T, Status> {
    T::deserialize(asked).map_err(|error| Status::bad_request(format!("failed to decode {kind}: {error}")))
}

fn whole_seconds(time: jiff::Timestamp) -> Value {
    Value::String(jiff::Timestamp::from_second(time.as_second()).unwrap_or(time).to_string())
}

/// Somebody, as reviews show them.
fn user_info(identity: &Identity) -> Value {
    let mut info = Map::new();
    info.insert("username".to_owned(), identity.user.as_str().into());
    if !identity.uid.is_empty() {
        info.insert("uid".to_owned(), identity.uid.as_str().into());
    }
    info.insert("groups".to_owned(), json!(identity.groups));
    if !identity.extra.is_empty() {
        info.insert("extra".to_owned(), json!(identity.extra));
    }
    Value::Object(info)
}
