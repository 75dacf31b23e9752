//! What a node is told when it starts.

use std::net::IpAddr;
use std::path::PathBuf;

use sampan_logs::Limits;

/// Where Docker's API answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerEndpoint {
    /// The path of the unix socket.
    pub socket: PathBuf,
}

impl DockerEndpoint {
    /// Where `DOCKER_HOST` says, if it names a socket, as for Docker's own tools.
    pub fn from_environment() -> Self {
        let named = std::env::var("DOCKER_HOST").ok();
        let socket = named.as_deref().and_then(|host| host.strip_prefix("unix://"));
        socket.map_or_else(Self::default, |socket| Self { socket: socket.into() })
    }
}

impl Default for DockerEndpoint {
    fn default() -> Self {
        Self { socket: PathBuf::from("/var/run/docker.sock") }
    }
}

/// Where the range of pods' addresses comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodRange {
    /// Docker chooses one: no other node needs to know.
    OfDocker,
    /// The API server gives one that no other node has, and nodes lead to each other's pods.
    OfCluster,
    /// This one, such as `10.88.0.0/16`.
    Fixed(String),
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
    /// Where the range of pods' addresses comes from.
    pub pod_range: PodRange,
    /// The Docker network pods are attached to; created when missing.
    pub network_name: String,
    /// Labels every container of this cluster, so that two clusters can share one Docker.
    pub cluster_id: String,
    /// The address others reach the node at; the one of the default route where none is given.
    pub address: Option<IpAddr>,
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
            pod_range: PodRange::OfDocker,
            network_name: format!("sampan-{cluster_id}"),
            cluster_id,
            address: None,
            kubelet_port: None,
            logs: Limits::default(),
        }
    }
}
