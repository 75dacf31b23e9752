//! The nodes of this process: one on Docker, or as many simulated ones as asked for, or none.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use sampan_apiserver::ApiServer;
use sampan_core::access::{NODES, SIMULATED_NODES};
use sampan_nodeagent::{DockerEndpoint, NodeAgent, NodeConfig, PodRange, SimulatedNodes};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::inside::{Kubelets, node_client};
use crate::args::Up;
use crate::data::DataFolder;

/// The running nodes.
pub(super) struct Nodes {
    running: JoinHandle<()>,
    pod_gateway: Option<Ipv4Addr>,
    name_server: Option<Ipv4Addr>,
}

impl Nodes {
    /// This machine's address on the pods' network, where there is one.
    pub(super) fn pod_gateway(&self) -> Option<Ipv4Addr> {
        self.pod_gateway
    }

    /// Where pods find the cluster's name server, where there is one.
    pub(super) fn name_server(&self) -> Option<Ipv4Addr> {
        self.name_server
    }

    /// Waits until they have ended, which they do at shutdown.
    pub(super) async fn ended(self) {
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the node has panicked");
        }
    }
}

/// Starts the nodes. Their pods outlive them.
///
/// # Errors
/// When Docker does not answer.
pub(super) async fn start(
    arguments: &Up,
    folder: &DataFolder,
    cluster: &str,
    server: &ApiServer,
    kubelets: &Kubelets,
    shutdown: &CancellationToken,
) -> Result<Nodes> {
    let shutdown = shutdown.clone();
    let (running, pod_gateway, name_server) = if arguments.no_node {
        (tokio::spawn(async {}), None, None)
    } else if arguments.simulate_nodes > 0 {
        let client = node_client(server, "simulated", SIMULATED_NODES).await?;
        let nodes = SimulatedNodes::new(arguments.simulate_nodes, client);
        for index in 0..arguments.simulate_nodes {
            let name = format!("sim-{index}");
            kubelets.add(&name, nodes.kubelet_api(&name));
        }
        (tokio::spawn(async move { report(nodes.run(shutdown).await) }), None, None)
    } else {
        let name = arguments.node_name.clone().unwrap_or_else(host_name);
        let client = node_client(server, &name, NODES).await?;
        let docker = DockerEndpoint::from_environment();
        // Where other machines may join, their pods are to reach those of this one.
        let is_alone = arguments.listen.ip().is_loopback();
        let pod_range = if is_alone { PodRange::OfDocker } else { PodRange::OfCluster };
        let config = NodeConfig {
            docker,
            pod_range,
            logs: arguments.logs.limits(),
            ..NodeConfig::new(&name, cluster, folder.node())
        };
        let agent = NodeAgent::new(config, client).await.context(
            "failed to start the node: is Docker running? Without Docker, try `sampan up --simulate-nodes 1`",
        )?;
        kubelets.add(&name, agent.kubelet_api());
        let (pod_gateway, name_server) = (agent.pod_gateway(), agent.name_server());
        (tokio::spawn(async move { report(agent.run(shutdown).await) }), pod_gateway, name_server)
    };
    Ok(Nodes { running, pod_gateway, name_server })
}

fn report(ended: Result<(), sampan_nodeagent::NodeError>) {
    if let Err(error) = ended {
        tracing::error!(error = format!("{:#}", anyhow::Error::new(error)), "the node has ended");
    }
}

/// The host's name as a node may be called: lower case letters, digits, dashes and dots.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().to_lowercase();
    let allowed = |character: char| if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' };
    let name: String = name.trim().chars().map(allowed).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}
