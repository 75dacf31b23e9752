//! Whom other servers of the API are to believe, as they look for it.

use std::time::Duration;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use sampan_apiserver::FrontProxy;
use sampan_core::gateway::{Action, Body, Cluster, Identity, Mutation, Options, PatchKind, Subresource, Target};
use sampan_core::store::Origin;
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
    apply(cluster, ("", "configmaps"), CONFIG_MAP, config_map).await?;
    let rule = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [CONFIG_MAP],
        "verbs": ["get", "list", "watch"]});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule],
        "metadata": {"name": READER, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}});
    apply(cluster, ("rbac.authorization.k8s.io", "roles"), READER, role).await
}

async fn apply(cluster: &Cluster, (group, plural): (&str, &str), name: &str, object: Value) -> Result<()> {
    let registry = cluster.registry();
    let applied = cluster.mutate(Mutation {
        identity: Identity::new("system:apiserver", &["system:masters"]),
        origin: Origin::System { purpose: "whom other servers of the API believe".to_owned() },
        target: Target {
            served: registry.served(group, "v1", plural).ok_or_else(|| anyhow!("{plural} are not served"))?,
            namespace: Some(NAMESPACE.into()),
            name: Some(name.into()),
            subresource: Subresource::Whole,
        },
        action: Action::Patch(PatchKind::Apply, Body::Value(object)),
        options: Options { field_manager: "sampan".to_owned(), force: true, ..Options::default() },
    });
    applied.await.map(drop).map_err(|status| anyhow!("failed to apply {plural} {NAMESPACE}/{name}: {status}"))
}
