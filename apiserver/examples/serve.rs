//! Manual test server.
use sampan_apiserver::{ApiServer, NodeConnector, NodeStream, tls};
use sampan_core::Timestamp;
use sampan_core::gateway::{Cluster, Gateway, NamespaceLifecycle, ServiceAccountAdmission, SystemAuthorizer};
use sampan_core::resource::{Registry, builtin};
use sampan_core::store::{MemoryDisk, Settings, Store};
use std::sync::Arc;

struct NoNodes;
impl NodeConnector for NoNodes {
    fn connect<'a>(&'a self, node: &'a str) -> futures::future::BoxFuture<'a, std::io::Result<Box<dyn NodeStream>>> {
        let _ = node;
        Box::pin(async { Err(std::io::Error::other("no such node")) })
    }
}

#[tokio::main]
async fn main() {
    let dir = std::path::PathBuf::from("/tmp/api-serve");
    let mut registry = Registry::default();
    for d in builtin() {
        registry.register(d);
    }
    let gateway = Gateway::new(
        registry,
        Box::new(SystemAuthorizer),
        vec![Box::new(NamespaceLifecycle), Box::new(ServiceAccountAdmission)],
    );
    let settings = Settings { cluster_uid: "test".into(), times_to_live: Default::default() };
    let store = Store::open(MemoryDisk::default().restart(), settings, Arc::new(Timestamp::now)).unwrap();
    let cluster = Cluster::new(Arc::new(gateway), store, Timestamp::now, 7);
    let now = Timestamp::now();
    let authority = tls::Authority::open(&dir, now).unwrap();
    let serving = authority.serving(&[], now).unwrap();
    let admin = authority.client("admin", "kubernetes-admin", "system:masters", now).unwrap();
    let config = tls::server_config(&authority, &serving).unwrap();
    tls::write_kubeconfig(
        &dir.join("kubeconfig"),
        &tls::Kubeconfig {
            server: "https://127.0.0.1:16443",
            authority: authority.certificate(),
            user: "kubernetes-admin",
            credential: &admin,
        },
    )
    .unwrap();
    let server = ApiServer::new(cluster, Arc::new(NoNodes), tokio_util::sync::CancellationToken::new());
    server.set_ready(true);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:16443").await.unwrap();
    server.listen(listener, config).await.unwrap();
}
