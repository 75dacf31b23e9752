//! Why a machine has not joined.

use jiff::Timestamp;
use sampan_trust::SecretFault;

/// Why a machine has not joined, or a node has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the node.
    #[error(transparent)]
    File(#[from] SecretFault),
    /// Something is not as it was written.
    #[error("failed to read {what}: {why}")]
    Malformed {
        /// The file.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate has ended while the node was not running.
    #[error(
        "the certificate of node {node:?} has ended at {at}: join again with a new token, after `kubectl delete node {node}` or with \
         `kubectl certificate approve`"
    )]
    Ended {
        /// The node.
        node: String,
        /// When it ended.
        at: Timestamp,
    },
    /// The address of the API server is none.
    #[error("{0} is no address of an API server: it is written as https://host:port")]
    NoServer(String),
    /// Nobody answers, or another than who is trusted.
    #[error("failed to reach the API server at {server}: {why}")]
    Unreachable {
        /// Where it was looked for.
        server: String,
        /// What went wrong.
        why: String,
    },
    /// The API server refused the request.
    #[error("failed to ask for a certificate")]
    Request(#[source] Box<kube::Error>),
    /// Somebody decided against it.
    #[error("the certificate was refused ({request}): {why}")]
    Refused {
        /// The request's name.
        request: String,
        /// What was said.
        why: String,
    },
    /// A key or request cannot be made.
    #[error("failed to make a key")]
    Key(#[from] rcgen::Error),
    /// The TLS library refuses what it is given.
    #[error("failed to configure TLS")]
    Tls(#[from] rustls::Error),
    /// Clients' certificates cannot be checked.
    #[error("failed to configure the check of the API server's certificate")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl IdentityError {
    pub(super) fn malformed(what: &'static str, why: &dyn std::fmt::Display) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }
}

impl From<kube::Error> for IdentityError {
    fn from(error: kube::Error) -> Self {
        Self::Request(Box::new(error))
    }
}
