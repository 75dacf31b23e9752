//! Tokens of service accounts, for the pods on the node.

use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use super::{ApiRequest, request};
use crate::pod::source::SourceKey;

/// A token is renewed once this share of its life is over, in percent: a failed renewal is tried again well before its end.
const RENEWED_AFTER_PERCENT: i32 = 80;
/// A token is renewed at least this often, however long it would last.
const RENEWAL_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Asks for the token a pod wishes for; `None` where the key names an object.
pub fn token_request(key: &SourceKey) -> Option<Result<ApiRequest, http::Error>> {
    let wish = key.wish.as_ref()?;
    let audiences = if wish.audience.is_empty() { Vec::new() } else { vec![wish.audience.as_str()] };
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": wish.lifetime_seconds,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": wish.pod, "uid": wish.uid },
        },
    });
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", key.namespace, key.name);
    Some(request(Method::POST, &path, "application/json", &body))
}

/// How long a token of this life serves before the next one is asked for.
pub fn renewal_after(lifetime: SignedDuration) -> SignedDuration {
    (lifetime * RENEWED_AFTER_PERCENT / 100).min(RENEWAL_MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_token_is_asked_for_by_the_pod_it_ends_with() {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
            "spec": {"serviceAccountName": "robot", "containers": []},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let wish = ServiceAccountTokenProjection {
            audience: Some("vault".to_owned()),
            expiration_seconds: Some(7200),
            path: "t".to_owned(),
        };
        let request = token_request(&SourceKey::token(&pod, &wish)).unwrap().unwrap();
        assert_eq!(request.uri(), "/api/v1/namespaces/shop/serviceaccounts/robot/token");
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u"});
        let expect = json!({"audiences": ["vault"], "expirationSeconds": 7200, "boundObjectRef": bound});
        assert_eq!(body["spec"], expect);
    }

    #[test]
    fn a_token_is_renewed_before_its_end_and_once_a_day() {
        let cases = [(600, 480), (3600, 2880), (10 * 24 * 3600, 24 * 3600)];
        for (lifetime, expect) in cases {
            assert_eq!(renewal_after(SignedDuration::from_secs(lifetime)), SignedDuration::from_secs(expect));
        }
    }
}
