//! A node that runs pods on Docker.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use jiff::SignedDuration;

use crate::dns::{self, CLUSTER_DOMAIN, Door, Names};
use crate::host::Host;
use crate::kubelet::KubeletApi;
use crate::logs::Outputs;
use crate::pod::NodeFacts;
use crate::proxy;
use crate::requests::NodeDescription;
use crate::runtime::docker::Docker;
use crate::services::Directory;
use crate::shell::{self, Disposal, Scope, Shell};
use crate::{NodeConfig, NodeError, PodRange, routes};

/// Where the host keeps its own name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where Linux names this run of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Bytes of disk told of where Docker's own cannot be found out.
const UNKNOWN_DISK: i64 = 0;

/// A node that runs the pods bound to it on Docker.
pub struct NodeAgent {
    client: kube::Client,
    docker: Arc<Docker>,
    description: NodeDescription,
    shell: Shell,
    messages: tokio::sync::mpsc::Sender<crate::host::Message>,
    kubelet: Arc<KubeletApi>,
    directory: Arc<Directory>,
    names: Option<(Door, Names)>,
    /// Where the node keeps its files.
    folder: PathBuf,
}

impl NodeAgent {
    /// Connects to Docker and prepares the node: its pod network, its pause image, its directories.
    ///
    /// # Errors
    /// When Docker does not answer or the data directory cannot be written.
    pub async fn new(config: NodeConfig, client: kube::Client) -> Result<Self, NodeError> {
        let range = match &config.pod_range {
            PodRange::OfDocker => None,
            PodRange::OfCluster => Some(shell::claim_range(&client, &config.name).await?),
            PodRange::Fixed(range) => Some(range.clone()),
        };
        let docker = Docker::new(&config, range.as_deref()).await?;
        let description = describe(&config, &docker).await?;
        let facts = NodeFacts {
            name: config.name.clone(),
            host_ip: docker.host_ip().to_owned(),
            allocatable_milli_cpu: description.cpus * 1000,
            allocatable_memory: description.memory_bytes,
            volumes: docker.volumes(),
        };
        let directory = Arc::new(Directory::default());
        let names = open_names(&docker, &directory).await;
        let host = Host::new([facts], true);
        let (shell, messages, asker) = Shell::new(host, docker.clone(), client.clone(), Some(directory.clone()));
        let kubelet = Arc::new(KubeletApi::on_docker(config.name.clone(), asker, docker.clone()));
        Ok(Self { client, docker, description, shell, messages, kubelet, directory, names, folder: config.data_dir })
    }

    /// What the API server talks to for logs, exec, attach and port-forward.
    pub fn kubelet_api(&self) -> Arc<KubeletApi> {
        self.kubelet.clone()
    }

    /// This machine's address on the pods' network, where that has one: pods reach the machine by it.
    pub fn pod_gateway(&self) -> Option<std::net::Ipv4Addr> {
        self.docker.pod_gateway()
    }

    /// Where pods find the cluster's name server; nothing where it could not be opened.
    pub fn name_server(&self) -> Option<std::net::Ipv4Addr> {
        self.names.as_ref().and(self.pod_gateway())
    }

    /// Registers the node and runs its pods until `shutdown`. Pods keep running after it returns.
    ///
    /// # Errors
    /// When Docker does not tell what it holds; all else is retried.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), NodeError> {
        // Events are asked for from before the look at what there is, so that nothing falls between.
        let since = shell::now().as_second();
        for holding in self.docker.holdings().await? {
            self.shell.host_mut().adopt(holding.pod, holding.sandbox, holding.containers);
        }
        let (node, docker) = (self.description.name.clone(), self.docker.clone());
        let stop = shutdown.child_token();
        let events = tokio::spawn({
            let (docker, messages, stop) = (self.docker.clone(), self.messages.clone(), stop.clone());
            async move { docker.watch(since, messages, stop).await }
        });
        let routing = tokio::spawn({
            let (client, docker, node, stop) = (self.client.clone(), docker.clone(), node.clone(), stop.clone());
            async move {
                if docker.is_routed() {
                    routes::run(client, &node, docker.host_ip(), docker.cluster(), stop).await;
                }
            }
        });
        let disposal = Disposal::of(&node, self.docker.volumes());
        let disposing = tokio::spawn(disposal.run(self.client.clone(), stop.clone()));
        let lease = tokio::spawn(shell::register(self.client.clone(), self.description, stop.clone()));
        let collecting = tokio::spawn({
            let (docker, stop) = (self.docker.clone(), stop.clone());
            let outputs = Outputs::new(self.client.clone(), docker.logs(), self.directory.clone(), &node, &self.folder);
            async move {
                docker.collect_logs().await;
                // Outputs go on once it is known which logs do.
                docker.logs().flush().await;
                outputs.run(stop).await;
            }
        });
        let services = tokio::spawn({
            let (docker, directory, client) = (self.docker.clone(), self.directory, self.client.clone());
            let (node, names, stop) = (node.clone(), self.names, stop.clone());
            async move {
                tokio::join!(
                    directory.keep(client, stop.clone()),
                    lead(&directory, &node, &docker, stop.clone()),
                    proxy::health::run(directory.clone(), &node, stop.clone()),
                    answer(names, stop),
                )
            }
        });
        self.shell.run(Scope::Node(node), shutdown).await;
        stop.cancel();
        let _ = tokio::join!(events, lease, services, disposing, collecting, routing);
        docker.logs().flush().await;
        Ok(())
    }
}

/// Leads to Services, where the pods' network is one that can be.
async fn lead(directory: &Directory, node: &str, docker: &Docker, stop: CancellationToken) {
    let Some(ground) = docker.ground() else {
        tracing::error!("Services are not served on this node: its pod network has no IPv4 address");
        return;
    };
    proxy::run(directory, node, ground, stop).await;
}

/// Opens the cluster's name server on the pods' network, and has pods ask it. Where that cannot be, they ask the host's.
async fn open_names(docker: &Docker, directory: &Arc<Directory>) -> Option<(Door, Names)> {
    let address = docker.pod_gateway()?.into();
    let names = Names::new(directory.clone(), CLUSTER_DOMAIN, RESOLV_CONF.into(), address);
    match (Door::open(address).await, names) {
        (Ok(door), Ok(names)) => {
            docker.resolve_at(address);
            Some((door, names))
        }
        (Err(error), _) => {
            tracing::error!("pods do not find Services by name: failed to listen on {address}, port 53: {error}");
            None
        }
        (_, Err(error)) => {
            tracing::error!(%error, "pods do not find Services by name");
            None
        }
    }
}

async fn answer(names: Option<(Door, Names)>, stop: CancellationToken) {
    if let Some((door, names)) = names {
        dns::serve(door, names, stop).await;
    }
}

async fn describe(config: &NodeConfig, docker: &Docker) -> Result<NodeDescription, NodeError> {
    let info = docker.client().info().await.map_err(NodeError::docker("ask Docker about itself"))?;
    let root = info.docker_root_dir.clone().unwrap_or_default();
    Ok(NodeDescription {
        name: config.name.clone(),
        host_ip: docker.host_ip().to_owned(),
        cpus: info.ncpu.unwrap_or(1),
        memory_bytes: info.mem_total.unwrap_or(0),
        disk_bytes: disk_bytes(&root).await.unwrap_or(UNKNOWN_DISK),
        kubelet_port: config.kubelet_port,
        runtime_version: format!("docker://{}", info.server_version.unwrap_or_default()),
        os_image: info.operating_system.unwrap_or_default(),
        kernel_version: info.kernel_version.unwrap_or_default(),
        machine_id: shell::read("/etc/machine-id"),
        boot_id: shell::read(BOOT_ID),
        volumes: docker.volumes(),
        simulated: false,
        lease_offset: SignedDuration::ZERO,
    })
}

/// The size of the file system that holds `path`, as `df` tells it.
async fn disk_bytes(path: &str) -> Option<i64> {
    let output = tokio::process::Command::new("df").args(["-B1", "--output=size", path]).output().await.ok()?;
    String::from_utf8_lossy(&output.stdout).lines().nth(1)?.trim().parse().ok()
}
