//! The Services of the cluster itself: `kubernetes`, by which pods find the API server, and `kube-dns`, its name server, which is
//! at each node.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::Node;
use sampan_core::gateway::{Cluster, SystemWriter};
use sampan_core::object::{ObjectKey, ResourceType, Revision};
use sampan_core::resource::service::{API_SERVER_ADDRESS, NAME_SERVER_ADDRESS};
use sampan_core::resource::{ENDPOINT_SLICES, ENDPOINTS, NODES, SERVICES};
use sampan_core::store::Snapshot;
use sampan_nodeagent::{dns, host_address};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Listening;

/// Endpoints one slice holds.
const ENDPOINTS_MAX: usize = 1000;

/// A Service that leads to Sampan itself.
#[derive(Debug, Clone)]
pub(super) struct OwnService {
    namespace: &'static str,
    name: &'static str,
    labels: Value,
    address: Ipv4Addr,
    /// As the Service has them.
    ports: Value,
    /// As its endpoints have them.
    served: Value,
    /// Where each node answers, and pods are led to their own.
    at_nodes: bool,
    /// Where this process answers, if pods reach it.
    here: Option<Ipv4Addr>,
}

/// Who answers for such a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answering {
    address: Ipv4Addr,
    /// The node it is at, if pods of others are led to theirs.
    node: Option<String>,
}

impl Answering {
    /// An endpoint of it, at its node.
    fn at(&self, mut endpoint: Value) -> Value {
        if let (Some(node), Some(fields)) = (&self.node, endpoint.as_object_mut()) {
            fields.insert("nodeName".to_owned(), json!(node));
        }
        endpoint
    }
}

impl OwnService {
    /// The API server, which listens on `port`.
    pub(super) fn api_server(here: Option<Ipv4Addr>, port: u16) -> Self {
        Self {
            namespace: "default",
            name: "kubernetes",
            labels: json!({"component": "apiserver", "provider": "kubernetes"}),
            address: API_SERVER_ADDRESS,
            ports: json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]),
            served: json!([{"name": "https", "port": port, "protocol": "TCP"}]),
            at_nodes: false,
            here,
        }
    }

    /// The cluster's name server: that of each node, or the one of this process, whose nodes have no range of their own.
    pub(super) fn name_server(here: Option<Ipv4Addr>) -> Self {
        let port = |name: &str, protocol: &str| json!({"name": name, "port": dns::PORT, "protocol": protocol});
        let ports = json!([port("dns", "UDP"), port("dns-tcp", "TCP")]);
        Self {
            namespace: "kube-system",
            name: "kube-dns",
            labels: json!({"k8s-app": "kube-dns"}),
            address: NAME_SERVER_ADDRESS,
            ports: ports.clone(),
            served: ports,
            at_nodes: true,
            here,
        }
    }

    /// Sees to it that the Service is there, with its address.
    ///
    /// # Errors
    /// When it cannot be written: somebody has its address, or the store takes no writes.
    pub(super) async fn serve(&self, cluster: &Cluster) -> Result<()> {
        let policy = if self.at_nodes { "Local" } else { "Cluster" };
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name, "labels": self.labels},
            "spec": {
                "type": "ClusterIP", "clusterIP": self.address, "clusterIPs": [self.address],
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "internalTrafficPolicy": policy, "ports": self.ports,
            },
        });
        self.apply(cluster, SERVICES, service).await
    }

    /// Who answers for it, as far as pods reach them.
    fn answering(&self, snapshot: &Snapshot) -> Vec<Answering> {
        let here = self.here.map(|address| Answering { address, node: None }).into_iter().collect();
        if !self.at_nodes {
            return here;
        }
        let nodes = snapshot.list(NODES, None, None);
        let mut answering: Vec<Answering> = nodes.filter_map(|node| at_node(&*node.decode::<Node>().ok()?)).collect();
        answering.truncate(ENDPOINTS_MAX);
        if answering.is_empty() { here } else { answering }
    }

    /// Tells where the Service leads.
    ///
    /// # Errors
    /// When the store takes no writes.
    async fn lead(&self, cluster: &Cluster, answering: &[Answering]) -> Result<()> {
        let addresses: Vec<Value> = answering.iter().map(|it| it.at(json!({"ip": it.address}))).collect();
        let subsets = (!addresses.is_empty()).then(|| json!({"addresses": addresses, "ports": self.served}));
        let mirrored_by_hand = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
        let endpoints = json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": self.name, "labels": mirrored_by_hand},
            "subsets": subsets.into_iter().collect::<Vec<_>>(),
        });
        self.apply(cluster, ENDPOINTS, endpoints).await?;
        let ready = |it: &Answering| it.at(json!({"addresses": [it.address], "conditions": {"ready": true}}));
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/service-name": self.name}},
            "endpoints": answering.iter().map(ready).collect::<Vec<_>>(), "ports": self.served,
        });
        self.apply(cluster, ENDPOINT_SLICES, slice).await
    }

    /// Keeps it, and where it leads, until `shutdown`: it is put back whenever somebody has changed or deleted it.
    pub(super) async fn keep(self, cluster: Cluster, shutdown: CancellationToken) {
        let mut known = None;
        let mut nodes = cluster.store().reader().listen(NODES);
        let mut answering = self.answering(&cluster.snapshot());
        loop {
            let change = cluster.store().reader().listen_all();
            if known != Some(self.revisions(&cluster)) {
                let served = match self.serve(&cluster).await {
                    Ok(()) => self.lead(&cluster, &answering).await,
                    Err(error) => Err(error),
                };
                match served {
                    Ok(()) => known = Some(self.revisions(&cluster)),
                    // Written again with the next change of anything.
                    Err(error) => tracing::warn!("pods may not find the Service {}: {error:#}", self.name),
                }
            }
            tokio::select! {
                () = &mut nodes, if self.at_nodes => {
                    nodes = cluster.store().reader().listen(NODES);
                    let before = std::mem::replace(&mut answering, self.answering(&cluster.snapshot()));
                    known = known.filter(|_| answering == before);
                }
                () = change => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// The revisions of the three objects: what tells that one was changed.
    fn revisions(&self, cluster: &Cluster) -> [Option<Revision>; 3] {
        let snapshot = cluster.snapshot();
        let revision = |resource| snapshot.get(&self.key(resource)).map(|object| object.revision());
        [SERVICES, ENDPOINTS, ENDPOINT_SLICES].map(revision)
    }

    fn key(&self, resource: ResourceType) -> ObjectKey {
        ObjectKey::namespaced(resource, self.namespace, self.name)
    }

    async fn apply(&self, cluster: &Cluster, resource: ResourceType, object: Value) -> Result<()> {
        let key = self.key(resource);
        let applied = SystemWriter::new(cluster, "how pods find the cluster itself").apply(&key, object).await;
        applied.map(drop).map_err(|status| anyhow!("failed to apply {key}: {status}"))
    }
}

/// The name server of a node, which answers at the first address of its pods' range while the node does.
fn at_node(node: &Node) -> Option<Answering> {
    let mut conditions = node.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    let (first, _) = node.spec.as_ref()?.pod_cidr.as_deref()?.split_once('/')?;
    let address = Ipv4Addr::from(u32::from(first.parse::<Ipv4Addr>().ok()?).checked_add(1)?);
    Some(Answering { address, node: node.metadata.name.clone() })
}

/// Where pods reach the API server. One that listens for this machine alone listens on the pods' network as well.
pub(super) fn open_to_pods(listening: &Listening, gateway: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    match listening.address.ip() {
        IpAddr::V4(own) if own.is_loopback() => {
            let gateway = gateway?;
            match listen(listening, SocketAddr::new(gateway.into(), listening.address.port())) {
                Ok(()) => Some(gateway),
                Err(error) => {
                    tracing::warn!("pods do not reach the API: {error:#}");
                    None
                }
            }
        }
        IpAddr::V4(own) if !own.is_unspecified() => Some(own),
        // Pods of other nodes do not reach this machine at its end of the pods' network.
        ip if ip.is_unspecified() => host_address().and_then(|address| address.parse().ok()).or(gateway),
        _ => None,
    }
}

fn listen(listening: &Listening, address: SocketAddr) -> Result<()> {
    let listener = sampan_apiserver::bind(address).with_context(|| format!("failed to listen on {address}"))?;
    listening.serve(listener);
    Ok(())
}
