//! Bootstrap tokens: by which somebody who is not known yet may ask to become known, as a node that joins does.
//!
//! A token is `<id>.<secret>`, and stands in a Secret of the namespace `kube-system`, as Kubernetes' own do
//! (<https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>): deleting the Secret takes it back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::{AUTHENTICATED, Identity};
use crate::object::ObjectKey;
use crate::resource::SECRETS;
use crate::resource::read::text;
use crate::store::Snapshot;

/// The group of everybody who has such a token.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// The group of those whose token lets machines join as nodes.
pub const JOINING_NODES: &str = "system:bootstrappers:sampan:nodes";
/// Where the Secrets are.
const NAMESPACE: &str = "kube-system";
/// Their type.
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// The two parts of a token; nothing where a text is no such token.
pub fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_one = id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH && is_plain(id) && is_plain(secret);
    is_one.then_some((id, secret))
}

/// The name of the Secret a token of this id stands in.
pub fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// Who has the token; nobody where it does not stand in a Secret, or has ended.
pub fn verify(token: &str, snapshot: &Snapshot, now: Timestamp) -> Option<Identity> {
    let (id, told) = parse(token)?;
    let stored = snapshot.get(&ObjectKey::namespaced(SECRETS, NAMESPACE, &secret_name(id)))?;
    let stored = stored.value();
    let field = |name: &str| data(&stored, name);
    let is_valid = text(&stored, "/type") == SECRET_TYPE
        && stored.pointer("/metadata/deletionTimestamp").is_none()
        && field("token-id").as_deref() == Some(id)
        && field("usage-bootstrap-authentication").as_deref() == Some("true")
        && field("expiration").is_none_or(|end| end.parse().is_ok_and(|end: Timestamp| now < end))
        && field("token-secret").is_some_and(|secret| is_same(secret.as_bytes(), told.as_bytes()));
    let named = field("auth-extra-groups").unwrap_or_default();
    // Nobody is made a member of another group by a Secret.
    let extra = named.split(',').map(str::trim).filter(|group| group.starts_with("system:bootstrappers:"));
    let groups: Vec<&str> = [BOOTSTRAPPERS, AUTHENTICATED].into_iter().chain(extra).collect();
    is_valid.then(|| Identity::new(format!("system:bootstrap:{id}"), &groups))
}

fn data(secret: &Value, name: &str) -> Option<String> {
    let encoded = secret.get("data")?.get(name)?.as_str()?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

/// Takes as long wherever the two differ: how far a guess is right is told by nothing.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Draft;

    const TOKEN: &str = "abc123.0123456789abcdef";

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    /// The Secret of the token, with these fields instead.
    fn snapshot(kind: &str, fields: &[(&str, &str)]) -> Snapshot {
        let mut data = json!({"token-id": "abc123", "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true", "expiration": "2026-01-02T00:00:00Z",
            "auth-extra-groups": "system:masters, system:bootstrappers:sampan:nodes"});
        fields.iter().for_each(|(name, value)| data[*name] = (*value).into());
        for value in data.as_object_mut().unwrap().values_mut() {
            *value = STANDARD.encode(value.as_str().unwrap()).into();
        }
        let key = ObjectKey::namespaced(SECRETS, NAMESPACE, &secret_name("abc123"));
        let metadata = json!({"name": secret_name("abc123"), "namespace": NAMESPACE, "uid": "u",
            "creationTimestamp": "2026-01-01T00:00:00Z"});
        let secret = json!({"metadata": metadata, "type": kind, "data": data});
        Snapshot::of([Draft::new(key, secret, Vec::new()).unwrap()])
    }

    #[test]
    fn a_token_makes_its_holder_a_bootstrapper_and_no_administrator() {
        let found = verify(TOKEN, &snapshot(SECRET_TYPE, &[]), now()).unwrap();
        assert_eq!(found, Identity::new("system:bootstrap:abc123", &[BOOTSTRAPPERS, AUTHENTICATED, JOINING_NODES]));
    }

    #[test]
    fn what_is_no_token_that_is_good_now_is_worth_nothing() {
        let cases = [
            ("abc123.0123456789abcdee", SECRET_TYPE, ("x", "")),
            ("abc123.0123456789abcde", SECRET_TYPE, ("x", "")),
            ("abc124.0123456789abcdef", SECRET_TYPE, ("x", "")),
            (TOKEN, "Opaque", ("x", "")),
            (TOKEN, SECRET_TYPE, ("usage-bootstrap-authentication", "false")),
            (TOKEN, SECRET_TYPE, ("expiration", "2026-01-01T00:00:00Z")),
            (TOKEN, SECRET_TYPE, ("expiration", "soon")),
            (TOKEN, SECRET_TYPE, ("token-id", "abc124")),
        ];
        for (token, kind, field) in cases {
            assert_eq!(verify(token, &snapshot(kind, &[field]), now()), None, "{token} {kind} {field:?}");
        }
    }
}
