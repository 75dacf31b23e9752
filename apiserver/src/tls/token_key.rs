//! The key that signs tokens of service accounts: JSON Web Tokens (RFC 7519) by ES256 (RFC 7518, §3.4), and no other way.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::KeyPair;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use sampan_core::access::token::Signer;
use sampan_trust::{read_secret, write_secret};
use serde_json::{Value, json};

use super::TlsError;

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The key that signs tokens, kept in a directory with mode 0600.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

impl TokenKey {
    /// The key in `directory`, made there if there is none.
    ///
    /// # Errors
    /// When the directory cannot be read or written, or holds something else.
    pub fn open(directory: &Path) -> Result<Self, TlsError> {
        let path = directory.join("sa.key");
        let key = if let Some(text) = read_secret(&path)? {
            KeyPair::from_pem(&text)?
        } else {
            let key = KeyPair::generate()?;
            write_secret(&path, &key.serialize_pem())?;
            key
        };
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random);
        let pair = pair.map_err(|error| TlsError::Malformed(format!("{}: {error}", path.display())))?;
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, pair.public_key().as_ref()));
        Ok(Self { pair, id, random })
    }
}

impl Signer for TokenKey {
    fn sign(&self, claims: &[u8]) -> String {
        let header = json!({"alg": "ES256", "kid": self.id}).to_string();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).expect("the system has a source of randomness");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn open(&self, token: &str) -> Option<Vec<u8>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        // The header chooses nothing: it names our algorithm and key, or the token is not ours.
        let says = |field: &str| header.get(field).and_then(Value::as_str);
        if says("alg") != Some("ES256") || says("kid") != Some(&self.id) {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        URL_SAFE_NO_PAD.decode(claims).ok()
    }

    fn key_set(&self) -> Value {
        // An uncompressed point: one byte that says so, then both coordinates.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::open(tempfile::tempdir().unwrap().path()).unwrap()
    }

    #[test]
    fn what_was_signed_opens_with_the_same_key_after_a_restart_and_with_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let token = TokenKey::open(directory.path()).unwrap().sign(b"{\"a\":1}");
        assert_eq!(TokenKey::open(directory.path()).unwrap().open(&token).as_deref(), Some(&b"{\"a\":1}"[..]));
        assert_eq!(key().open(&token), None);
    }

    #[test]
    fn what_was_tampered_with_does_not_open() {
        let key = key();
        let token = key.sign(b"{\"sub\":\"ann\"}");
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{token}") };
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let none = encode(&format!("{{\"alg\":\"none\",\"kid\":\"{}\"}}", key.id));
        let symmetric = encode(&format!("{{\"alg\":\"HS256\",\"kid\":\"{}\"}}", key.id));
        let cases = [
            format!("{header}.{}.{signature}", encode("{\"sub\":\"bob\"}")),
            format!("{none}.{claims}."),
            format!("{symmetric}.{claims}.{signature}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            String::new(),
            "..".to_owned(),
            format!("{token}{}", "x".repeat(TOKEN_BYTES_MAX)),
        ];
        for case in cases {
            assert_eq!(key.open(&case), None, "{case}");
        }
        assert!(key.open(&token).is_some());
    }
}
