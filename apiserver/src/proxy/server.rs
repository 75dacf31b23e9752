//! A server in the cluster, and the way to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use sampan_core::resource::Destination;
use sampan_core::status::Status;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::node::{NodeConnector, NodeStream};
use crate::state::State;

/// The longest a server may take to be reached.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

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
                let tls =
                    TlsConnector::from(Arc::new(sampan_trust::unchecked_client_config().map_err(io::Error::other)?));
                Ok(Box::new(tls.connect(ServerName::IpAddress(address.ip().into()), stream).await?))
            }
        }
    }
}

pub(super) fn too_late() -> Status {
    Status::unavailable("error trying to reach service: context deadline exceeded")
}
