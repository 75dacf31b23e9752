//! The cluster's name server: names of Services and pods by what the node knows, all others by the host's servers.
//!
//! Every node has one, at its address on the pods' network: a pod asks its own node.

mod server;
mod upstream;
pub mod zone;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hickory_server::Server;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

pub use self::server::Names;

/// The domain of the cluster's names.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// Where name servers listen.
pub const PORT: u16 = 53;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// Bytes of answers that may wait on a connection.
const ANSWERS_WAITING: usize = 64;

/// Where questions come in.
#[derive(Debug)]
pub struct Door {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Door {
    /// Listens at `address`.
    ///
    /// # Errors
    /// When somebody else does, or we may not.
    pub async fn open(address: IpAddr) -> io::Result<Self> {
        Self::open_at(address, PORT).await
    }

    async fn open_at(address: IpAddr, port: u16) -> io::Result<Self> {
        let tcp = TcpListener::bind((address, port)).await?;
        let udp = UdpSocket::bind(tcp.local_addr()?).await?;
        Ok(Self { udp, tcp })
    }
}

/// Answers until `shutdown`.
pub async fn serve(door: Door, names: Names, shutdown: CancellationToken) {
    let mut server = Server::new(names);
    server.register_socket(door.udp);
    server.register_listener(door.tcp, SILENCE, ANSWERS_WAITING);
    shutdown.cancelled().await;
    if let Err(error) = server.shutdown_gracefully().await {
        tracing::debug!(%error, "the name server did not end well");
    }
}
