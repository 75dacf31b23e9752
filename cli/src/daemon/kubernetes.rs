//! The Service `kubernetes`: the name and address pods find the API server by.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, anyhow};
use sampan_core::gateway::{Action, Body, Cluster, Identity, Mutation, Options, PatchKind, Subresource, Target};
use sampan_core::object::{ObjectKey, Revision};
use sampan_core::resource::service::API_SERVER_ADDRESS;
use sampan_core::resource::{ENDPOINT_SLICES, ENDPOINTS, SERVICES};
use sampan_core::store::Origin;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Listening;

const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";

/// Sees to it that the Service is there, with the first address of the range.
///
/// # Errors
/// When it cannot be written: somebody has its address, or the store takes no writes.
pub(super) async fn serve(cluster: &Cluster, port: u16) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": API_SERVER_ADDRESS, "clusterIPs": [API_SERVER_ADDRESS],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    apply(cluster, ("", "services"), service).await
}

/// Tells where the Service leads: to `address`, or nowhere.
///
/// # Errors
/// When the store takes no writes.
pub(super) async fn lead(cluster: &Cluster, address: Option<Ipv4Addr>, port: u16) -> Result<()> {
    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let subsets = address.map(|ip| json!({"addresses": [{"ip": ip}], "ports": ports}));
    let mirrored_by_hand = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": NAME, "labels": mirrored_by_hand},
        "subsets": subsets.into_iter().collect::<Vec<_>>(),
    });
    apply(cluster, ("", "endpoints"), endpoints).await?;
    let ready = address.map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}}));
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
        "endpoints": ready.into_iter().collect::<Vec<_>>(), "ports": ports,
    });
    apply(cluster, ("discovery.k8s.io", "endpointslices"), slice).await
}

/// Puts it back whenever somebody has changed or deleted it, until `shutdown`.
pub(super) async fn keep(cluster: Cluster, address: Option<Ipv4Addr>, port: u16, shutdown: CancellationToken) {
    let mut known = revisions(&cluster);
    loop {
        let change = cluster.store().reader().listen_all();
        if revisions(&cluster) != known {
            let kept = match serve(&cluster, port).await {
                Ok(()) => lead(&cluster, address, port).await,
                Err(error) => Err(error),
            };
            if let Err(error) = kept {
                tracing::warn!("pods may not find the API server: {error:#}");
            }
            known = revisions(&cluster);
        }
        tokio::select! {
            () = change => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// The revisions of the three objects: what tells that one was changed.
fn revisions(cluster: &Cluster) -> [Option<Revision>; 3] {
    let snapshot = cluster.snapshot();
    [SERVICES, ENDPOINTS, ENDPOINT_SLICES]
        .map(|resource| snapshot.get(&ObjectKey::namespaced(resource, NAMESPACE, NAME)).map(|object| object.revision()))
}

/// Where pods reach the API server. One that listens for this machine alone listens on the pods' network as well.
pub(super) async fn open_to_pods(listening: &Listening, gateway: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    match listening.address.ip() {
        IpAddr::V4(own) if own.is_loopback() => {
            let gateway = gateway?;
            match listen(listening, SocketAddr::new(gateway.into(), listening.address.port())).await {
                Ok(()) => Some(gateway),
                Err(error) => {
                    tracing::warn!("pods do not reach the API: {error:#}");
                    None
                }
            }
        }
        IpAddr::V4(own) if !own.is_unspecified() => Some(own),
        ip if ip.is_unspecified() => gateway,
        _ => None,
    }
}

async fn listen(listening: &Listening, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))?;
    listening.serve(listener);
    Ok(())
}

async fn apply(cluster: &Cluster, (group, plural): (&str, &str), object: Value) -> Result<()> {
    let registry = cluster.registry();
    let mutation = Mutation {
        identity: Identity::new("system:apiserver", &["system:masters"]),
        origin: Origin::System { purpose: "how pods find the API server".to_owned() },
        target: Target {
            served: registry.served(group, "v1", plural).ok_or_else(|| anyhow!("{plural} are not served"))?,
            namespace: Some(NAMESPACE.into()),
            name: Some(NAME.into()),
            subresource: Subresource::Whole,
        },
        action: Action::Patch(PatchKind::Apply, Body::Value(object)),
        options: Options { field_manager: "sampan".to_owned(), force: true, ..Options::default() },
    };
    let applied = cluster.mutate(mutation).await;
    applied.map(drop).map_err(|status| anyhow!("failed to apply {plural} {NAMESPACE}/{NAME}: {status}"))
}
