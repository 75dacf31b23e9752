//! A node's object and its Lease.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, Request};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::DaemonEndpoint;
use k8s_openapi::api::core::v1::{NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::now;
use crate::pod::moment::{micro_time, time};

/// How long a Lease holds, in seconds.
const LEASE_SECONDS: i32 = 40;
/// How often a Lease is renewed.
const LEASE_PERIOD: Duration = Duration::from_secs(10);
/// How often a status is sent that has not changed.
const STATUS_PERIOD: Duration = Duration::from_secs(300);
/// The first wait after a refused request, doubling to [`LEASE_PERIOD`].
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// Pods a node takes at most: Kubernetes' default.
const MOST_PODS: &str = "110";
/// Where Leases of nodes live.
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// What a node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct NodeDescription {
    pub(crate) name: String,
    pub(crate) host_ip: String,
    pub(crate) cpus: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) disk_bytes: i64,
    pub(crate) kubelet_port: Option<u16>,
    pub(crate) runtime_version: String,
    pub(crate) os_image: String,
    pub(crate) kernel_version: String,
    pub(crate) machine_id: String,
    /// The node runs pods in memory only.
    pub(crate) simulated: bool,
    /// How much later than others it renews its Lease, so that many nodes do not do so at once.
    pub(crate) lease_offset: Duration,
}

impl NodeDescription {
    fn labels(&self) -> BTreeMap<&'static str, String> {
        let mut labels = BTreeMap::from([
            ("kubernetes.io/hostname", self.name.clone()),
            ("kubernetes.io/os", "linux".to_owned()),
            ("kubernetes.io/arch", architecture().to_owned()),
        ]);
        if self.simulated {
            labels.insert("sampan.dev/simulated", "true".to_owned());
        }
        labels
    }

    fn status(&self, moment: Timestamp) -> NodeStatus {
        let quantity = |text: String| Quantity(text);
        let capacity = BTreeMap::from([
            ("cpu".to_owned(), quantity(self.cpus.to_string())),
            ("memory".to_owned(), quantity(format!("{}Ki", self.memory_bytes / 1024))),
            ("ephemeral-storage".to_owned(), quantity(format!("{}Ki", self.disk_bytes / 1024))),
            ("pods".to_owned(), quantity(MOST_PODS.to_owned())),
        ]);
        let address = |kind: &str, address: &str| NodeAddress { type_: kind.to_owned(), address: address.to_owned() };
        let endpoint = self.kubelet_port.map(|port| DaemonEndpoint { port: i32::from(port) });
        NodeStatus {
            addresses: Some(vec![address("InternalIP", &self.host_ip), address("Hostname", &self.name)]),
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            conditions: Some(conditions(moment)),
            daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: endpoint }),
            node_info: Some(NodeSystemInfo {
                architecture: architecture().to_owned(),
                boot_id: read("/proc/sys/kernel/random/boot_id"),
                container_runtime_version: self.runtime_version.clone(),
                kernel_version: self.kernel_version.clone(),
                kube_proxy_version: String::new(),
                kubelet_version: format!("v1.35.0-sampan.{}", env!("CARGO_PKG_VERSION")),
                machine_id: self.machine_id.clone(),
                operating_system: "linux".to_owned(),
                os_image: self.os_image.clone(),
                system_uuid: self.machine_id.clone(),
                swap: None,
            }),
            ..NodeStatus::default()
        }
    }
}

/// A file's text without its end of line; nothing where it cannot be read.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn conditions(moment: Timestamp) -> Vec<NodeCondition> {
    let condition = |name: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(time(moment)),
        last_transition_time: Some(time(moment)),
    };
    vec![
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
}

/// Registers a node and keeps its Lease and status alive until `shutdown`.
pub(crate) async fn register(client: kube::Client, node: NodeDescription, shutdown: CancellationToken) {
    let keeper = Keeper { client, node };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keeper.keep() => {}
    }
}

/// What a node owes the API server.
#[derive(Debug, Clone, Copy)]
enum Duty {
    CreateNode,
    SendStatus(Timestamp),
    Renew,
}

struct Keeper {
    client: kube::Client,
    node: NodeDescription,
}

impl Keeper {
    async fn keep(&self) {
        self.until_accepted(Duty::CreateNode).await;
        let ready_since = now();
        self.until_accepted(Duty::SendStatus(ready_since)).await;
        self.until_accepted(Duty::Renew).await;
        tokio::time::sleep(self.node.lease_offset).await;
        let mut renewals_left = STATUS_PERIOD.as_secs() / LEASE_PERIOD.as_secs();
        loop {
            tokio::time::sleep(LEASE_PERIOD).await;
            self.until_accepted(Duty::Renew).await;
            renewals_left -= 1;
            if renewals_left == 0 {
                renewals_left = STATUS_PERIOD.as_secs() / LEASE_PERIOD.as_secs();
                self.until_accepted(Duty::SendStatus(ready_since)).await;
            }
        }
    }

    async fn request(&self, duty: Duty) -> Result<(), kube::Error> {
        match duty {
            Duty::CreateNode => self.create_node().await,
            Duty::SendStatus(ready_since) => self.send_status(ready_since).await,
            Duty::Renew => self.renew().await,
        }
    }

    /// Repeats a request until the API server takes it.
    async fn until_accepted(&self, duty: Duty) {
        let mut wait = FIRST_RETRY;
        while let Err(error) = self.request(duty).await {
            tracing::debug!(node = %self.node.name, %error, "the API server refused a request of the node");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LEASE_PERIOD);
        }
    }

    async fn create_node(&self) -> Result<(), kube::Error> {
        let labels = self.node.labels();
        let node =
            json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.node.name, "labels": labels } });
        match self.send(Method::POST, "/api/v1/nodes".to_owned(), "application/json", &node).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let patch = json!({ "metadata": { "labels": labels } });
                self.send(Method::PATCH, self.path(""), "application/merge-patch+json", &patch).await
            }
            result => result,
        }
    }

    async fn send_status(&self, ready_since: Timestamp) -> Result<(), kube::Error> {
        let mut status = self.node.status(now());
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_transition_time = Some(time(ready_since));
        }
        let patch = json!({ "status": status });
        self.send(Method::PATCH, self.path("/status"), "application/strategic-merge-patch+json", &patch).await
    }

    async fn renew(&self) -> Result<(), kube::Error> {
        let moment = now();
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/leases");
        let patch = json!({ "spec": { "renewTime": micro_time(moment) } });
        let renewed = self
            .send(Method::PATCH, format!("{path}/{}", self.node.name), "application/merge-patch+json", &patch)
            .await;
        match renewed {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": { "name": self.node.name, "namespace": LEASE_NAMESPACE },
                    "spec": {
                        "holderIdentity": self.node.name,
                        "leaseDurationSeconds": LEASE_SECONDS,
                        "renewTime": micro_time(moment),
                    },
                });
                self.send(Method::POST, path, "application/json", &lease).await
            }
            result => result,
        }
    }

    fn path(&self, subresource: &str) -> String {
        format!("/api/v1/nodes/{}{subresource}", self.node.name)
    }

    async fn send(&self, method: Method, path: String, kind: &str, body: &Value) -> Result<(), kube::Error> {
        let bytes = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        let request = Request::builder().method(method).uri(path).header("Content-Type", kind).body(bytes);
        let request = request.map_err(kube::Error::HttpError)?;
        self.client.request_text(request).await.map(|_| ())
    }
}
