//! Connecting to Docker, making what pods need there, and removing it all.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerSummary, Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures::StreamExt;
use tokio::sync::Semaphore;

use super::files::{PodFiles, host_address};
use super::network::{PodNetwork, Shown, Subnet};
use super::subpath::Subpaths;
use super::{CALLS_AT_ONCE, Docker, image, logs, names};
use crate::logs::Logs;
use crate::pod::Uid;
use crate::proxy::{self, Ground};
use crate::{DockerEndpoint, LogLimits, NodeConfig, NodeError, PodRange, routes};

/// Where in its folder a node keeps logs.
const LOGS: &str = "logs";
/// How long a call to Docker may take, in seconds.
const CALL_SECONDS: u64 = 120;
/// How long a container may take to stop.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// How long `remove_everything` lets containers stop by themselves, in seconds.
const DOWN_GRACE_SECONDS: i32 = 10;

/// What Docker is asked to list.
type Filter = HashMap<String, Vec<String>>;

/// A connected client of Docker's API, of the version both know.
async fn connect(endpoint: &DockerEndpoint) -> Result<bollard::Docker, NodeError> {
    let socket = endpoint.socket.to_string_lossy().into_owned();
    let unreachable = |source: Error| NodeError::DockerUnreachable { socket: socket.clone(), source };
    let api =
        bollard::Docker::connect_with_unix(&socket, CALL_SECONDS, bollard::API_DEFAULT_VERSION).map_err(unreachable)?;
    api.negotiate_version().await.map_err(unreachable)
}

impl Docker {
    /// Connects, imports the pause image, makes the pod network.
    ///
    /// # Errors
    /// When Docker does not answer or refuses.
    pub async fn new(config: &NodeConfig, range: Option<&str>) -> Result<Arc<Self>, NodeError> {
        let api = connect(&config.docker).await?;
        let pause_image = image::ensure_pause(&api).await?;
        let network = ensure_network(&api, config, range).await?;
        let pod_gateway = network.as_ref().map(|network| network.gateway);
        let plugs = plugs(network.clone()).await;
        let pods = config.data_dir.join("pods");
        std::fs::create_dir_all(&pods).map_err(NodeError::file("create", &pods))?;
        let data_dir = config.data_dir.canonicalize().map_err(NodeError::file("resolve", &config.data_dir))?;
        let volumes = data_dir.join("volumes");
        std::fs::create_dir_all(&volumes).map_err(NodeError::file("create", &volumes))?;
        let logs = Logs::open(&data_dir.join(LOGS), config.logs)?;
        let host_ip = config.address.map(|address| address.to_string()).or_else(host_address);
        let host_ip = host_ip.or(pod_gateway.map(|gateway| gateway.to_string()));
        let host_ip = host_ip.unwrap_or_else(|| "127.0.0.1".to_owned());
        Ok(Arc::new_cyclic(|this| Self {
            patient: api.clone().with_timeout(PATIENCE),
            api,
            cluster: config.cluster_id.clone(),
            node: config.name.clone(),
            network: config.network_name.clone(),
            plugs,
            host_ip,
            shown: network,
            is_routed: config.pod_range == PodRange::OfCluster,
            pause_image,
            files: PodFiles::new(&data_dir),
            resolver: OnceLock::new(),
            volumes,
            logs,
            least_oom_score: least_oom_score(),
            calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            own_starts: Mutex::default(),
            sandboxes: Mutex::default(),
            pulls: Mutex::default(),
            this: this.clone(),
        }))
    }

    /// The folder the node keeps volumes in that outlive pods.
    pub fn volumes(&self) -> std::path::PathBuf {
        self.volumes.clone()
    }

    /// The node's address.
    pub fn host_ip(&self) -> &str {
        &self.host_ip
    }

    /// Whether other nodes lead to its pods.
    pub(crate) fn is_routed(&self) -> bool {
        self.is_routed
    }

    /// What its containers and rules are known by.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// This machine's address on the pods' network.
    pub fn pod_gateway(&self) -> Option<Ipv4Addr> {
        self.shown.as_ref().map(|shown| shown.gateway)
    }

    /// From now on pods ask the name server at `address`; before, they ask those of the host.
    pub(crate) fn resolve_at(&self, address: IpAddr) {
        // Set once: a node opens one name server.
        let _ = self.resolver.set(address);
    }

    /// What the rules of Services depend on; nothing where the pods' network is none of IPv4.
    pub(crate) fn ground(&self) -> Option<Ground> {
        let shown = self.shown.as_ref()?;
        Some(Ground {
            table: proxy::table_name(&self.cluster),
            bridge: shown.bridge.clone(),
            pods: shown.subnet.text(),
            rules_see_bridge: proxy::rules_see_bridge(),
            is_routed: self.is_routed,
        })
    }
}

/// The lowest score by which a container may be spared when memory runs out. Machines that withhold `CAP_SYS_RESOURCE` (bit
/// 24) from everything refuse negative ones, and a container that asks for one does not start.
fn least_oom_score() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounding = bounding.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0);
    if bounding >> 24 & 1 == 1 { -1000 } else { 0 }
}

/// The network, where the node may plug pods into it.
async fn plugs(network: Option<Shown>) -> Option<PodNetwork> {
    match PodNetwork::open(network?).await {
        Ok(network) => Some(network),
        Err(message) => {
            tracing::info!(%message, "Docker gives pods their network; the node may not do it itself");
            None
        }
    }
}

/// Makes the pod network unless it is there. Nothing where it is none of IPv4.
async fn ensure_network(
    api: &bollard::Docker,
    config: &NodeConfig,
    range: Option<&str>,
) -> Result<Option<Shown>, NodeError> {
    let name = &config.network_name;
    if api.inspect_network(name, None).await.is_err() {
        let subnet = range.map(|subnet| Ipam {
            config: Some(vec![IpamConfig {
                ip_range: Subnet::parse(subnet).map(Subnet::docker_range),
                // Docker does not show one it has chosen itself in a range it was given.
                gateway: Subnet::parse(subnet).map(|subnet| subnet.gateway().to_string()),
                subnet: Some(subnet.to_owned()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        });
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            ipam: subnet,
            labels: Some(HashMap::from([(names::CLUSTER.to_owned(), config.cluster_id.clone())])),
            ..NetworkCreateRequest::default()
        };
        match api.create_network(request).await {
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 409, .. }) => {}
            Err(error) => return Err(NodeError::docker(format!("create the pod network {name}"))(error)),
        }
    }
    let shown = api.inspect_network(name, None).await;
    let shown = shown.map_err(NodeError::docker(format!("inspect the pod network {name}")))?;
    let bridge = bridge_name(&shown.id.unwrap_or_default());
    let configs = shown.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let shown = configs.into_iter().find_map(|config| {
        // Docker writes `172.18.0.1/16` where it was not told a range.
        let gateway = config.gateway?.split('/').next()?.parse().ok()?;
        Some(Shown { bridge: bridge.clone(), gateway, subnet: Subnet::parse(&config.subnet?)? })
    });
    let found = shown.as_ref().map(|shown| shown.subnet.text()).unwrap_or_default();
    match range {
        Some(given) if given != found => {
            Err(NodeError::OtherRange { network: name.clone(), found, given: given.to_owned() })
        }
        _ => Ok(shown),
    }
}

/// As Docker names bridges it is not told a name for.
fn bridge_name(network_id: &str) -> String {
    format!("br-{}", network_id.get(..12).unwrap_or(network_id))
}

/// Stops and removes every container and network of the cluster `cluster_id`.
///
/// The rules of Services go with them. Containers are given ten seconds to stop by themselves. What they wrote last is collected in the
/// node's folder `kept_in`, where one is given; no node may run in it.
///
/// # Errors
/// When Docker does not answer or refuses.
pub async fn remove_everything(
    docker: &DockerEndpoint,
    cluster_id: &str,
    kept_in: Option<&Path>,
) -> Result<(), NodeError> {
    let api = connect(docker).await?;
    let logs = kept_in.map(|folder| Logs::open(&folder.join(LOGS), LogLimits::default())).transpose()?;
    let filter = names::filter(&[(names::CLUSTER, cluster_id)]);
    let containers = containers(&api, &filter).await?;
    let (sandboxes, own): (Vec<_>, Vec<_>) = containers.into_iter().partition(|container| {
        container.labels.as_ref().and_then(|labels| labels.get(names::KIND)).map(String::as_str) == Some("sandbox")
    });
    let pods: BTreeSet<Uid> = sandboxes.iter().filter_map(pod_of).collect();
    for (group, grace) in [(own, DOWN_GRACE_SECONDS), (sandboxes, 0)] {
        let ids: Vec<String> = group.into_iter().filter_map(|container| container.id).collect();
        let removals = futures::stream::iter(ids).map(|id| remove_one(&api, id, grace, logs.as_ref()));
        let results: Vec<Result<(), NodeError>> = removals.buffer_unordered(CALLS_AT_ONCE * 4).collect().await;
        results.into_iter().collect::<Result<Vec<()>, _>>()?;
    }
    for pod in pods {
        let parts = Subpaths::of(&pod);
        parts.remove().map_err(NodeError::file("unmount", parts.path()))?;
    }
    let networks = networks(&api, &filter).await?;
    proxy::remove(cluster_id).await;
    routes::forget(cluster_id);
    for name in networks.into_iter().filter_map(|network| network.name) {
        api.remove_network(&name).await.map_err(NodeError::docker(format!("remove the pod network {name}")))?;
    }
    Ok(())
}

/// The clusters that have containers or networks on this Docker.
///
/// # Errors
/// When Docker does not answer or refuses.
pub async fn clusters(docker: &DockerEndpoint) -> Result<BTreeSet<String>, NodeError> {
    let api = connect(docker).await?;
    let filter = HashMap::from([("label".to_owned(), vec![names::CLUSTER.to_owned()])]);
    let of_containers = containers(&api, &filter).await?.into_iter().filter_map(|container| container.labels);
    let of_networks = networks(&api, &filter).await?.into_iter().filter_map(|network| network.labels);
    Ok(of_containers.chain(of_networks).filter_map(|mut labels| labels.remove(names::CLUSTER)).collect())
}

async fn containers(api: &bollard::Docker, filter: &Filter) -> Result<Vec<ContainerSummary>, NodeError> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(filter).build();
    api.list_containers(Some(options)).await.map_err(NodeError::docker("list containers"))
}

async fn networks(api: &bollard::Docker, filter: &Filter) -> Result<Vec<Network>, NodeError> {
    let options = ListNetworksOptionsBuilder::new().filters(filter).build();
    api.list_networks(Some(options)).await.map_err(NodeError::docker("list networks"))
}

/// The pod a container is of.
fn pod_of(container: &ContainerSummary) -> Option<Uid> {
    container.labels.as_ref()?.get(names::POD_UID).map(|uid| Uid(uid.as_str().into()))
}

async fn remove_one(api: &bollard::Docker, id: String, grace: i32, logs: Option<&Logs>) -> Result<(), NodeError> {
    let _ = api.stop_container(&id, Some(StopContainerOptionsBuilder::new().t(grace).build())).await;
    if let (Some(logs), Some((source, _))) = (logs, logs::log_of(api, &id).await) {
        logs.finish(source).await;
    }
    let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match api.remove_container(&id, Some(force)).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        Err(error) => Err(NodeError::docker(format!("remove container {id}"))(error)),
    }
}
