//! Tokens of service accounts: what is in one, who gets one, and what one is worth.
//!
//! A token is worth something as long as its account, and the pod, node or secret it is bound to, is still the one it was
//! given for. Signatures are made and checked elsewhere, by a [`Signer`]: here nothing is secret.

mod check;
mod claims;
mod issue;

use std::sync::Arc;

use serde_json::Value;

pub use check::{TokenFault, Verified};
pub use claims::{Claims, Private, Reference};
pub use issue::{TokenRequest, TokenRequestSpec};

/// Signs and reads tokens, by a key of the cluster.
pub trait Signer: Send + Sync {
    /// The token that says `claims`.
    fn sign(&self, claims: &[u8]) -> String;

    /// What a token says; `None` where this signer did not sign it.
    fn open(&self, token: &str) -> Option<Vec<u8>>;

    /// The public keys that check its tokens, as a set of JSON Web Keys.
    fn key_set(&self) -> Value;
}

/// Gives tokens and tells what they are worth.
#[derive(Clone)]
pub struct Tokens {
    issuer: String,
    signer: Arc<dyn Signer>,
}

impl Tokens {
    /// Tokens of this issuer. It is also the audience of tokens that name none: the API server.
    pub fn new(issuer: impl Into<String>, signer: Arc<dyn Signer>) -> Self {
        Self { issuer: issuer.into(), signer }
    }

    /// The public keys that check the tokens, as a set of JSON Web Keys.
    pub fn key_set(&self) -> Value {
        self.signer.key_set()
    }

    /// Who says so, as tokens name it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}
