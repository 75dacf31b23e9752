//! A server in the cluster, and the way to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sampan_core::resource::Destination;
use sampan_core::status::Status;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::node::{NodeConnector, NodeStream};
use crate::state::State;

/// The longest a server may take to be reached.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A server in the cluster.
pub(crate) enum Server {
    /// One at an address.
    At { address: SocketAddr, is_tls: bool },
    /// The daemon of a node.
    Node(String),
}

impl Server {
    /// The server a destination leads to; where there are several, each in its turn.
    pub(crate) fn of(destination: Destination, is_tls: bool, state: &State) -> Self {
        match destination {
            Destination::Node(name) => Self::Node(name),
            Destination::Any(servers) => {
                let turn = state.turn_among(servers.len());
                let address = servers.get(turn).expect("a destination has a server");
                Self::At { address: SocketAddr::from(*address), is_tls }
            }
        }
    }

    /// As links to itself name it.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::At { address, .. } => address.to_string(),
            Self::Node(name) => name.clone(),
        }
    }

    /// A fresh connection to it.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn connect(&self, nodes: &dyn NodeConnector) -> Result<Box<dyn NodeStream>, Status> {
        let connected = timeout(ANSWER_TIMEOUT, self.dial(nodes)).await.map_err(|_| too_late())?;
        connected.map_err(|error| {
            Status::unavailable(format!("error trying to reach service: dial tcp {}: {error}", self.authority()))
        })
    }

    async fn dial(&self, nodes: &dyn NodeConnector) -> io::Result<Box<dyn NodeStream>> {
        match self {
            Self::Node(name) => nodes.connect(name).await,
            Self::At { address, is_tls } => {
                let stream = TcpStream::connect(address).await?;
                if !is_tls {
                    return Ok(Box::new(stream));
                }
                let tls = TlsConnector::from(Arc::new(config()?));
                Ok(Box::new(tls.connect(ServerName::IpAddress(address.ip().into()), stream).await?))
            }
        }
    }
}

pub(super) fn too_late() -> Status {
    Status::unavailable("error trying to reach service: context deadline exceeded")
}

fn config() -> io::Result<ClientConfig> {
    let provider = ring::default_provider();
    let anybody = Anybody(provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?.dangerous();
    Ok(config.with_custom_certificate_verifier(Arc::new(anybody)).with_no_client_auth())
}

/// Believes every certificate whose key the server has: nobody has given a pod one for its address.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
