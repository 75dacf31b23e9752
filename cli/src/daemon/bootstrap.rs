//! What every cluster starts with.

use anyhow::{Result, anyhow};
use sampan_core::gateway::{Action, Body, Cluster, Identity, Mutation, Options, Subresource, Target};
use sampan_core::object::ObjectKey;
use sampan_core::resource::NAMESPACES;
use sampan_core::store::Origin;
use serde_json::json;

/// The namespaces clients take for granted.
const NAMES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Creates what is missing of it.
///
/// # Errors
/// When the store takes no writes.
pub(super) async fn run(cluster: &Cluster) -> Result<()> {
    for name in NAMES {
        if cluster.snapshot().get(&ObjectKey::cluster(NAMESPACES, name)).is_none() {
            create(cluster, name).await?;
        }
    }
    let kept = sampan_core::access::bootstrap::keep(cluster).await;
    kept.map_err(|status| anyhow!("failed to keep the roles and bindings of the system: {status}"))
}

async fn create(cluster: &Cluster, name: &str) -> Result<()> {
    let registry = cluster.registry();
    let served = registry.served("", "v1", "namespaces").ok_or_else(|| anyhow!("namespaces are not served"))?;
    let mutation = Mutation {
        identity: Identity::new("system:apiserver", &["system:masters"]),
        origin: Origin::System { purpose: "every cluster has this namespace".to_owned() },
        target: Target { served, namespace: None, name: None, subresource: Subresource::Whole },
        action: Action::Create(Body::Value(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}
        }))),
        options: Options { field_manager: "sampan".to_owned(), ..Options::default() },
    };
    let created = cluster.mutate(mutation).await;
    created.map(drop).map_err(|status| anyhow!("failed to create the namespace {name}: {status}"))
}
