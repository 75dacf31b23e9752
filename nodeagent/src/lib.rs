//! The node: pods on Docker, probes, logs, volumes.

mod config;
mod error;
pub mod host;
pub mod pod;
pub mod runtime;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub use config::{DockerEndpoint, NodeConfig};
pub use error::NodeError;

/// A node that runs the pods bound to it on Docker.
pub struct NodeAgent {
    client: kube::Client,
    kubelet: Arc<KubeletApi>,
}

impl NodeAgent {
    /// Connects to Docker and prepares the node: its network, its pause image, its directories.
    ///
    /// # Errors
    /// When Docker does not answer or the data directory cannot be written.
    pub async fn new(config: NodeConfig, client: kube::Client) -> Result<Self, NodeError> {
        let _ = config;
        Ok(Self { client, kubelet: Arc::new(KubeletApi {}) })
    }

    /// What the API server talks to for logs, exec, attach and port-forward.
    pub fn kubelet_api(&self) -> Arc<KubeletApi> {
        self.kubelet.clone()
    }

    /// Registers the node and runs its pods until `shutdown`. Pods keep running after it returns.
    ///
    /// # Errors
    /// When the node cannot be registered for good; all else is retried.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), NodeError> {
        let _ = self.client;
        shutdown.cancelled().await;
        Ok(())
    }
}

/// Nodes that run pods in memory only: the same pod machine and the same HTTP path, another runtime.
pub struct SimulatedNodes {
    client: kube::Client,
}

impl SimulatedNodes {
    /// `count` nodes named `sim-0` to `sim-<count-1>`.
    pub fn new(count: usize, client: kube::Client) -> Self {
        let _ = count;
        Self { client }
    }

    /// What the API server talks to for logs and exec on these nodes: it refuses politely.
    pub fn kubelet_api(&self) -> Arc<KubeletApi> {
        Arc::new(KubeletApi {})
    }

    /// Registers the nodes and runs their pods until `shutdown`.
    ///
    /// # Errors
    /// When a node cannot be registered for good.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), NodeError> {
        let _ = self.client;
        shutdown.cancelled().await;
        Ok(())
    }
}

/// The kubelet's HTTP API of a node.
pub struct KubeletApi {}

/// Serves the kubelet API to one connection.
pub async fn serve_kubelet<S>(stream: S, api: Arc<KubeletApi>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let _ = (stream, api);
}

/// Stops and removes every container and network of the cluster `cluster_id`.
///
/// # Errors
/// When Docker does not answer or refuses.
pub async fn remove_everything(docker: &DockerEndpoint, cluster_id: &str) -> Result<(), NodeError> {
    let _ = (docker, cluster_id);
    Ok(())
}
