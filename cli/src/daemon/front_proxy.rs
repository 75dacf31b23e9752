//! Whom other servers of the API are to believe, as they look for it.

use std::time::Duration;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use sampan_apiserver::FrontProxy;
use sampan_core::gateway::{Cluster, SystemWriter};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::{CONFIG_MAPS, ROLES};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::data::DataFolder;

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "extension-apiserver-authentication";
/// The role by which they may read it, which their charts bind.
const READER: &str = "extension-apiserver-authentication-reader";
/// Beside the certificates of the cluster's own authority.
const FOLDER: &str = "front-proxy";
const RETRY: Duration = Duration::from_secs(5);

/// What this process shows other servers.
///
/// # Errors
/// When it cannot be kept.
pub(super) fn open(folder: &DataFolder) -> Result<FrontProxy> {
    Ok(FrontProxy::open(&folder.certificates().join(FOLDER), Timestamp::now())?)
}

/// Publishes what other servers read, and tries again until it is written: a webhook that has to agree may run on a node that is
/// not up yet.
pub(super) async fn publish(cluster: Cluster, published: Value, shutdown: CancellationToken) {
    while let Err(error) = write(&cluster, &published).await {
        tracing::warn!("other servers of the API do not find whom to believe: {error:#}");
        tokio::select! {
            () = sleep(RETRY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn write(cluster: &Cluster, published: &Value) -> Result<()> {
    let metadata = json!({"name": CONFIG_MAP});
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": published});
    apply(cluster, CONFIG_MAPS, CONFIG_MAP, config_map).await?;
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [CONFIG_MAP],
        "verbs": ["get", "list", "watch"]});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule],
        "metadata": {"name": READER, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}});
    apply(cluster, ROLES, READER, role).await
}

async fn apply(cluster: &Cluster, resource: ResourceType, name: &str, object: Value) -> Result<()> {
    let key = ObjectKey::namespaced(resource, NAMESPACE, name);
    let applied = SystemWriter::new(cluster, "whom other servers of the API believe").apply(&key, object).await;
    applied.map(drop).map_err(|status| anyhow!("failed to apply {key}: {status}"))
}
