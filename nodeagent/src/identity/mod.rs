//! Who a node is to a cluster on another machine: a certificate, asked for when it joins, kept in its folder, and renewed.
//!
//! ```text
//! token ──► CertificateSigningRequest ──► certificate `system:node:<name>` ──┬──► client of the API
//!                     ▲                                                     └──► daemon the API server connects to
//!                     └────────────── renewed as the node itself ◄──────────────┘
//! ```
//!
//! One certificate serves both directions: it says which node this is, whoever opens the connection.

mod asking;
mod error;
mod https;
mod keys;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rcgen::KeyPair;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sampan_trust::{Pin, Pinned, read_secret, write_secret};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::asking::{ask, new_key};
pub use self::error::IdentityError;
use self::https::{Https, meet};
use self::keys::Keys;
use crate::shell;

/// The certificates of the API server always carry this name, wherever it is reached.
const SERVER_NAME: &str = "kubernetes.default.svc";
/// The first and the longest wait after a renewal that failed.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// A timer that runs for longer is set anew on the way: clocks of machines that sleep are set.
const LOOK_WITHIN: Duration = Duration::from_secs(3600);

/// How a machine that joins knows the cluster.
#[derive(Debug, Clone)]
pub enum Trust {
    /// By what the public key of its authority hashes to.
    Pinned(Pin),
    /// By the certificate of its authority, PEM.
    Authority(String),
}

/// A machine that is to become a node.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The node's name.
    pub name: String,
    /// Where the API server is.
    pub server: Uri,
    /// The bootstrap token it asks with.
    pub token: String,
    /// How it knows the API server.
    pub trust: Trust,
}

/// What a node that has joined remembers, beside its key and certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Membership {
    node: String,
    server: String,
}

/// A node that has joined a cluster on another machine.
pub struct NodeIdentity {
    folder: PathBuf,
    name: String,
    server: Uri,
    authority: CertificateDer<'static>,
    keys: Arc<Keys>,
}

impl NodeIdentity {
    /// The node whose files are in `folder`, where one has joined from there.
    ///
    /// # Errors
    /// When its files cannot be read, or its certificate has ended.
    pub fn open(folder: &Path) -> Result<Option<Self>, IdentityError> {
        let Some(told) = read_secret(&folder.join(MEMBERSHIP))? else { return Ok(None) };
        let told: Membership =
            serde_json::from_str(&told).map_err(|error| IdentityError::malformed(MEMBERSHIP, &error))?;
        let (Some(authority), Some(own)) = (read_secret(&folder.join(AUTHORITY))?, read_secret(&folder.join(OWN))?)
        else {
            return Ok(None);
        };
        let keys = Keys::read(&own)?;
        if keys.span().has_ended(shell::now()) {
            return Err(IdentityError::Ended { node: told.node, at: keys.span().not_after });
        }
        let server = told.server.parse().map_err(|error| IdentityError::malformed(MEMBERSHIP, &error))?;
        Ok(Some(Self::new(folder, told.node, server, certificate(&authority)?, keys)))
    }

    /// Asks for a certificate, waits until there is one, and keeps it in `folder`.
    ///
    /// # Errors
    /// When the API server cannot be reached, is not the one that is trusted, or refuses; when the files cannot be written.
    pub async fn join(folder: &Path, joining: Joining) -> Result<Self, IdentityError> {
        let authority = match &joining.trust {
            Trust::Pinned(pin) => meet(&joining.server, Pinned::new(pin.clone())).await?,
            Trust::Authority(pem) => certificate(pem)?,
        };
        let config = believing(&authority)?.with_no_client_auth();
        let client = Https::new(&joining.server, config, Some(&joining.token))?.into_client();
        let key = joining_key(folder)?;
        let issued = ask(&client, &joining.name, &key).await?;
        let own = format!("{issued}{}", key.serialize_pem());
        let keys = Keys::read(&own)?;
        write_secret(&folder.join(OWN), &own)?;
        write_secret(&folder.join(AUTHORITY), &pem::encode(&pem::Pem::new("CERTIFICATE", authority.to_vec())))?;
        let told = Membership { node: joining.name.clone(), server: joining.server.to_string() };
        // Written last: with it the node has joined.
        let told = serde_json::to_string(&told).map_err(|error| IdentityError::malformed(MEMBERSHIP, &error))?;
        write_secret(&folder.join(MEMBERSHIP), &told)?;
        // It is in the node's own file now. Left behind, it would be asked with when the node joins anew.
        let _ = std::fs::remove_file(folder.join(JOINING));
        Ok(Self::new(folder, joining.name, joining.server, authority, keys))
    }

    fn new(folder: &Path, name: String, server: Uri, authority: CertificateDer<'static>, keys: Keys) -> Self {
        Self { folder: folder.to_owned(), name, server, authority, keys: Arc::new(keys) }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the API server is.
    pub fn server(&self) -> &Uri {
        &self.server
    }

    /// A client of the API that shows the node's certificate, whichever it has when it connects.
    ///
    /// # Errors
    /// When TLS cannot be configured.
    pub fn client(&self) -> Result<kube::Client, IdentityError> {
        let config = believing(&self.authority)?.with_client_cert_resolver(self.keys.clone());
        Ok(Https::new(&self.server, config, None)?.into_client())
    }

    /// What the node's daemon offers who connects: the node's certificate, to clients the authority knows.
    ///
    /// # Errors
    /// When TLS cannot be configured.
    pub fn daemon_config(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let provider = Arc::new(ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&self.authority)?), provider.clone()).build()?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Arc::new(config.with_client_cert_verifier(clients).with_cert_resolver(self.keys.clone())))
    }

    /// Renews the certificate while there is time left, until `shutdown`.
    pub async fn keep(&self, client: kube::Client, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.renew_in_time(client)).await;
    }

    async fn renew_in_time(&self, client: kube::Client) {
        let mut retry = FIRST_RETRY;
        loop {
            let pause = match self.keys.span().until_renewal(shell::now()) {
                Some(left) => left.min(LOOK_WITHIN),
                None => match self.renew(&client).await {
                    Ok(()) => {
                        tracing::info!(node = %self.name, "the node has a new certificate");
                        retry = FIRST_RETRY;
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(node = %self.name, %error, "the node's certificate was not renewed; trying again");
                        let pause = retry;
                        retry = (retry * 2).min(RETRY_MAX);
                        pause
                    }
                },
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn renew(&self, client: &kube::Client) -> Result<(), IdentityError> {
        let key = new_key()?;
        let issued = ask(client, &self.name, &key).await?;
        let own = format!("{issued}{}", key.serialize_pem());
        let keys = Keys::read(&own)?;
        write_secret(&self.folder.join(OWN), &own)?;
        self.keys.replace(keys);
        Ok(())
    }
}

/// The node's certificate and key, in one file: there is never one without the other.
const OWN: &str = "node.pem";
/// The certificate of the cluster's authority.
const AUTHORITY: &str = "ca.crt";
/// Which node of which cluster this is.
const MEMBERSHIP: &str = "membership.json";

/// The key a machine asks to join with, until it has.
const JOINING: &str = "joining.key";

/// The key this machine asks with: the one it asked with before, if it was ended while it waited. The node's name may have been given
/// to that key.
fn joining_key(folder: &Path) -> Result<KeyPair, IdentityError> {
    let path = folder.join(JOINING);
    if let Some(known) = read_secret(&path)?.and_then(|pem| KeyPair::from_pem(&pem).ok()) {
        return Ok(known);
    }
    let key = new_key()?;
    write_secret(&path, &key.serialize_pem())?;
    Ok(key)
}

type Believing = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn believing(authority: &CertificateDer<'static>) -> Result<Believing, IdentityError> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots(authority)?))
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| IdentityError::malformed(AUTHORITY, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_ended_while_it_waited_asks_with_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = || joining_key(folder.path()).unwrap().serialize_pem();
        let first = key();
        assert_eq!(key(), first);
        std::fs::remove_file(folder.path().join(JOINING)).unwrap();
        assert_ne!(key(), first, "one that has joined makes a new one");
    }
}
