//! Who is who: the cluster's own certificate authority, what it signs, and what a client's certificate says of it.

mod authority;
mod certificate;
mod kubeconfig;
mod peer;
mod request;
mod server;
mod token_key;

use sampan_trust::SecretFault;

pub use authority::Authority;
pub use certificate::Credential;
pub use kubeconfig::{Kubeconfig, write as write_kubeconfig};
pub use peer::identity_of;
pub use request::CertificateRequest;
pub use server::server_config;
pub use token_key::TokenKey;

/// Why the cluster's certificates are not at hand.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the data directory.
    #[error(transparent)]
    File(#[from] SecretFault),
    /// A certificate or key cannot be made or read.
    #[error("failed to make or read a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A certificate is not as it was written.
    #[error("failed to parse a certificate: {0}")]
    Malformed(String),
    /// The TLS library refuses what it is given.
    #[error("failed to configure TLS")]
    Rustls(#[from] rustls::Error),
    /// Clients' certificates cannot be checked.
    #[error("failed to configure the check of client certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}
