//! What every cluster starts with.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use sampan_core::gateway::{Action, Body, Cluster, Subresource, SystemWriter};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::service::address_range;
use sampan_core::resource::volume::LOCAL_PATH;
use sampan_core::resource::{
    DEFAULT_SERVICE_CIDR, NAMESPACES, PRIORITY_CLASSES, SERVICE_CIDRS, STORAGE_CLASSES, SYSTEM_PRIORITY_CLASSES,
};
use serde_json::{Value, json};

/// The namespaces clients take for granted.
const NAMES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The class of claims that name none: on the disk of the node their first pod runs on.
const STORAGE_CLASS: &str = "local-path";

/// Creates what is missing of it.
///
/// # Errors
/// When the store takes no writes.
pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    for name in NAMES {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(cluster, NAMESPACES, name, namespace).await?;
    }
    for (name, value, description) in SYSTEM_PRIORITY_CLASSES {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description});
        create(cluster, PRIORITY_CLASSES, name, class).await?;
    }
    create(cluster, STORAGE_CLASSES, STORAGE_CLASS, storage_class()).await?;
    create(cluster, SERVICE_CIDRS, DEFAULT_SERVICE_CIDR, service_cidr(cluster.now())).await?;
    let kept = sampan_core::access::bootstrap::keep(cluster).await;
    kept.map_err(|status| anyhow!("failed to keep the roles and bindings of the system: {status}"))
}

/// One that is there is left as it is: whoever wants another default takes the mark off this one.
fn storage_class() -> Value {
    json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": LOCAL_PATH, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"})
}

fn service_cidr(now: Timestamp) -> Value {
    let since = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let ready = json!({"type": "Ready", "status": "True", "reason": "", "lastTransitionTime": since,
        "message": "Kubernetes Service CIDR is ready"});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": DEFAULT_SERVICE_CIDR},
        "spec": {"cidrs": [address_range()]}, "status": {"conditions": [ready]}})
}

/// Creates an object of the cluster, if it is not there.
async fn create(cluster: &Cluster, resource: ResourceType, name: &str, object: Value) -> Result<()> {
    let key = ObjectKey::cluster(resource, name);
    if cluster.snapshot().get(&key).is_some() {
        return Ok(());
    }
    let writer = SystemWriter::new(cluster, "every cluster has this");
    let created = writer.write(&key, Subresource::Whole, Action::Create(Body::Value(object))).await;
    created.map(drop).map_err(|status| anyhow!("failed to create {resource} {name:?}: {status}"))
}
