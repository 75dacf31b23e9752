//! Nodes on other machines, over TLS: each is known by its certificate, and knows the API server by its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use sampan_core::access::node_of;
use sampan_core::object::ObjectKey;
use sampan_core::resource::NODES;
use sampan_core::store::Reader;
use sampan_trust::{Belief, Shown, client_believing};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{NodeConnector, NodeStream};
use crate::tls::{Authority, Credential, TlsError, identity_of};

/// Reaches the daemons of nodes where their Node objects say that they are.
pub struct RemoteNodes {
    reader: Reader,
    nodes: Arc<dyn ClientCertVerifier>,
    own: Credential,
}

impl RemoteNodes {
    /// Believes nodes the authority has certified, and shows them `own`.
    ///
    /// # Errors
    /// When the certificates do not parse.
    pub fn new(reader: Reader, authority: &Authority, own: Credential) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.to_der()?)?;
        let nodes = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { reader, nodes, own })
    }

    async fn dial(&self, node: &str) -> io::Result<Box<dyn NodeStream>> {
        let address = self.address(node)?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(self.config(node).map_err(io::Error::other)?));
        Ok(Box::new(connector.connect(ServerName::IpAddress(address.ip().into()), stream).await?))
    }

    /// Where the node says its daemon listens. That it is this node which answers there, its certificate says.
    fn address(&self, node: &str) -> io::Result<SocketAddr> {
        let found = self.reader.snapshot().get(&ObjectKey::cluster(NODES, node)).map(|node| node.value());
        let told = found.as_ref().and_then(told_address);
        told.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its Node does not tell where it listens"))
    }

    fn config(&self, node: &str) -> Result<ClientConfig, TlsError> {
        let one = OneNode { node: node.to_owned(), nodes: self.nodes.clone() };
        let (certificate, key) = self.own.to_der()?;
        Ok(client_believing(Arc::new(one))?.with_client_auth_cert(vec![certificate], key)?)
    }
}

impl NodeConnector for RemoteNodes {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        Box::pin(self.dial(node))
    }
}

fn told_address(node: &Value) -> Option<SocketAddr> {
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port")?.as_u64()?;
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let own = addresses.iter().find(|address| address.get("type").and_then(Value::as_str) == Some("InternalIP"))?;
    Some(SocketAddr::new(own.get("address")?.as_str()?.parse().ok()?, u16::try_from(port).ok()?))
}

/// Believes one node. Its certificate is one for clients: it says which node it is, whoever opens the connection, and can pass
/// for no server's.
#[derive(Debug)]
struct OneNode {
    node: String,
    nodes: Arc<dyn ClientCertVerifier>,
}

impl Belief for OneNode {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        self.nodes.verify_client_cert(shown.own, shown.between, shown.now)?;
        let found = identity_of(shown.own);
        match found.as_ref().and_then(node_of) == Some(&self.node) {
            true => Ok(()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }
}
