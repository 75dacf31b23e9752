//! How the server reaches nodes: for logs, exec, attach and port-forward.

mod proxy;
mod remote;

use std::io;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use proxy::{IDLE_TIMEOUT, carry, forward, upgrade};
pub use remote::RemoteNodes;

/// A stream of bytes to a node.
pub trait NodeStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> NodeStream for S {}

/// Opens streams to the kubelet API of nodes: inside the process, or over TLS to another machine.
pub trait NodeConnector: Send + Sync {
    /// A fresh stream to the node's kubelet API; HTTP/1.1 is spoken over it.
    ///
    /// # Errors
    /// When the node cannot be reached, `NotFound` where no such node is known.
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>>;
}
