//! What a node is told when it starts.

use std::path::PathBuf;

use sampan_logs::Limits;

/// Where Docker's API answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerEndpoint {
    /// The path of the unix socket.
    pub socket: PathBuf,
}

impl Default for DockerEndpoint {
    fn default() -> Self {
        Self { socket: PathBuf::from("/var/run/docker.sock") }
    }
}

/// A node that runs pods on Docker.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The node's name, a DNS subdomain.
    pub name: String,
    /// Where the node keeps the volumes and files of its pods.
    pub data_dir: PathBuf,
    /// Where Docker answers.
    pub docker: DockerEndpoint,
    /// The address range of pods, such as `10.88.0.0/16`; Docker chooses one when absent.
    pub pod_cidr: Option<String>,
    /// The Docker network pods are attached to; created when missing.
    pub network_name: String,
    /// Labels every container of this cluster, so that two clusters can share one Docker.
    pub cluster_id: String,
    /// The port the kubelet API listens on, where it does.
    pub kubelet_port: Option<u16>,
    /// How much of containers' logs is kept, and for how long.
    pub logs: Limits,
}

impl NodeConfig {
    /// A node named `name` of the cluster `cluster_id` that keeps its files in `data_dir`, all else by default.
    pub fn new(name: impl Into<String>, cluster_id: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        let cluster_id = cluster_id.into();
        Self {
            name: name.into(),
            data_dir: data_dir.into(),
            docker: DockerEndpoint::default(),
            pod_cidr: None,
            network_name: format!("sampan-{cluster_id}"),
            cluster_id,
            kubelet_port: None,
            logs: Limits::default(),
        }
    }
}
