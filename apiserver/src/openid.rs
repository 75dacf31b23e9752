//! What those need who check tokens of service accounts themselves (OpenID Connect Discovery 1.0, §4).

use sampan_core::access::token::Tokens;
use serde_json::{Value, json};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";

/// The document at a path; `None` where the path is none of these.
pub(crate) fn answer(path: &str, tokens: &Tokens) -> Option<(Value, &'static str)> {
    match path.trim_end_matches('/') {
        DISCOVERY => {
            let issuer = tokens.issuer();
            let document = json!({
                "issuer": issuer, "jwks_uri": format!("{issuer}{KEYS}"), "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
            });
            Some((document, "application/json"))
        }
        KEYS => Some((tokens.key_set(), "application/jwk-set+json")),
        _ => None,
    }
}
