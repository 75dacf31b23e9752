//! Connections: who is at the other end, and what each request of theirs is answered.

mod authenticate;
mod connection;
mod dispatch;
mod impersonate;
mod listener;

use std::sync::Arc;

use sampan_core::gateway::{Cluster, Identity};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub use listener::{ListenError, bind};

use crate::aggregator::{self, FrontProxy};
use crate::health::Part;
use crate::node::NodeConnector;
use crate::state::State;

/// The Kubernetes version whose API is served.
pub const VERSION: &str = "v1.35.0";

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody vouches for them: who they are is said by each request's token, or not at all.
    Anonymous,
    /// Vouched for by a client certificate, or by the code that opened the connection in this process.
    Known(Arc<Identity>),
}

/// The API server. Clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<State>,
}

impl ApiServer {
    /// A server of `cluster` that reaches nodes through `nodes`, until `shutdown`.
    pub fn new(cluster: Cluster, nodes: Arc<dyn NodeConnector>, shutdown: CancellationToken) -> Self {
        Self { state: Arc::new(State::new(cluster, nodes, shutdown)) }
    }

    /// Answers one connection until it ends. The opener says who is at the other end; no header does.
    pub async fn serve_connection<S>(&self, stream: S, caller: Caller)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::serve(self.state.clone(), stream, caller).await;
    }

    /// Accepts connections until the server shuts down.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn listen(
        &self,
        listener: tokio::net::TcpListener,
        tls: Arc<rustls::ServerConfig>,
    ) -> Result<(), ListenError> {
        listener::listen(&self.state, listener, tls).await
    }

    /// Passes requests on to other servers of the API, to whom it shows itself by `front_proxy`, and keeps telling whether they
    /// answer, until the server shuts down.
    pub async fn aggregate(&self, front_proxy: FrontProxy) {
        self.state.aggregator.show(front_proxy);
        aggregator::keep(self.state.clone()).await;
    }

    /// Shows a part of the process in `/readyz` and `/metrics` from now on.
    pub fn show(&self, part: Arc<dyn Part>) {
        self.state.health.add(part);
    }

    /// Says whether everything is up, for `/readyz`: it is not until this is called.
    pub fn set_ready(&self, ready: bool) {
        self.state.health.set_ready(ready);
    }
}
