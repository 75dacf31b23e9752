//! What the API server offers a client that connects.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};

use super::{Authority, Credential, TlsError};

/// Sessions kept for resumption; each holds its client's certificate.
const SESSIONS_MAX: usize = 64;

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, and clients with a certificate of the authority or with none: what the latter
/// may do is decided per request.
///
/// # Errors
/// When the certificates do not parse or do not fit their keys.
pub fn server_config(authority: &Authority, serving: &Credential) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.to_der()?)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = verifier.allow_unauthenticated().build()?;
    let (certificate, key) = serving.to_der()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        // The authority is shown as well: who knows it by a hash alone learns it here.
        .with_single_cert(vec![certificate, authority.to_der()?], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    Ok(Arc::new(config))
}
