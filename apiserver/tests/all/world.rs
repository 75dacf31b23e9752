//! A server on a store in memory, and clients connected to it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use sampan_apiserver::tls::TokenKey;
use sampan_apiserver::{ApiServer, Caller, HttpsWebhooks, NodeConnector, NodeStream};
use sampan_core::Timestamp;
use sampan_core::access::token::Tokens;
use sampan_core::access::{Identity, RoleAuthorizer, bootstrap};
use sampan_core::gateway::{
    Admission, CertificateRequests, Cluster, EffectRecords, EscalationCheck, Gateway, ManifestFileRecords,
    NamespaceLifecycle, NodeRestriction, Priority, ServiceAccountAdmission,
};
use sampan_core::resource::{Registry, builtin};
use sampan_core::store::{MemoryDisk, Reader, Settings, Store};
use serde_json::{Value, json};
use tokio::io::duplex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// The room of a connection inside the process, in bytes.
const ROOM: usize = 64 << 10;

/// Who gives tokens.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A server, and the store behind it.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) reader: Reader,
    pub(crate) shutdown: CancellationToken,
}

/// What one request was answered.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// No node is known.
struct NoNodes;

impl NodeConnector for NoNodes {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        Box::pin(async move { Err(io::Error::new(io::ErrorKind::NotFound, format!("no node {node}"))) })
    }
}

impl World {
    /// A cluster with the namespace and service account `default`.
    pub(crate) async fn new() -> Self {
        Self::with_nodes(Arc::new(NoNodes)).await
    }

    pub(crate) async fn with_nodes(nodes: Arc<dyn NodeConnector>) -> Self {
        let mut registry = Registry::default();
        for definition in builtin() {
            registry.register(definition);
        }
        let authorizer = Arc::new(RoleAuthorizer::default());
        let tokens = Tokens::new(ISSUER, Arc::new(TokenKey::open(tempfile::tempdir().unwrap().path()).unwrap()));
        let admissions: Vec<Box<dyn Admission>> = vec![
            Box::new(NamespaceLifecycle),
            Box::new(NodeRestriction),
            Box::new(EscalationCheck::new(authorizer.clone())),
            Box::new(CertificateRequests::new(authorizer.clone())),
            Box::new(EffectRecords),
            Box::new(ManifestFileRecords),
            Box::new(ServiceAccountAdmission),
            Box::new(Priority),
        ];
        let gateway = Gateway::new(registry, Box::new(authorizer), admissions).with_tokens(tokens);
        let settings = Settings { cluster_uid: "test".into(), ..Settings::default() };
        let store = Store::open(MemoryDisk::default().restart(), settings, Arc::new(Timestamp::now)).unwrap();
        let cluster = Cluster::new(Arc::new(gateway), store, Timestamp::now, 7)
            .with_webhooks(Arc::new(HttpsWebhooks::new(Handle::current())));
        bootstrap::keep(&cluster).await.unwrap();
        let (reader, shutdown) = (cluster.store().reader().clone(), CancellationToken::new());
        let world = Self { server: ApiServer::new(cluster, nodes, shutdown.clone()), reader, shutdown };
        let mut admin = world.admin().await;
        admin.create("/api/v1/namespaces", json!({"metadata": {"name": "default"}})).await;
        admin.create("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
        world
    }

    pub(crate) async fn admin(&self) -> Client {
        self.known("kubernetes-admin", "system:masters").await
    }

    pub(crate) async fn known(&self, user: &str, group: &str) -> Client {
        let identity = Identity::new(user, &[group, "system:authenticated"]);
        self.connect(Caller::Known(Arc::new(identity))).await
    }

    pub(crate) async fn connect(&self, caller: Caller) -> Client {
        let (ours, theirs) = duplex(ROOM);
        let server = self.server.clone();
        tokio::spawn(async move { server.serve_connection(theirs, caller).await });
        let (sender, connection) = handshake(TokioIo::new(ours)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Client(sender)
    }
}

/// A connection.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn send(
        &mut self,
        method: Method,
        uri: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Incoming> {
        let mut request =
            Request::builder().method(method).uri(uri).header("host", "test").header("user-agent", "test/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.0.ready().await.unwrap();
        self.0.send_request(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()).await.unwrap()
    }

    pub(crate) async fn ask(&mut self, method: Method, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let (parts, body) = self.send(method, uri, headers, body).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { code: parts.status.as_u16(), headers: parts.headers, text }
    }

    pub(crate) async fn get(&mut self, uri: &str) -> Answer {
        self.ask(Method::GET, uri, &[], b"").await
    }

    pub(crate) async fn get_as(&mut self, uri: &str, accept: &str) -> Answer {
        self.ask(Method::GET, uri, &[("accept", accept)], b"").await
    }

    pub(crate) async fn post(&mut self, uri: &str, object: Value) -> Answer {
        self.ask(Method::POST, uri, &[], object.to_string().as_bytes()).await
    }

    pub(crate) async fn put(&mut self, uri: &str, object: Value) -> Answer {
        self.ask(Method::PUT, uri, &[], object.to_string().as_bytes()).await
    }

    /// Creates an object; it must succeed.
    pub(crate) async fn create(&mut self, uri: &str, object: Value) -> Value {
        let answer = self.post(uri, object).await;
        assert_eq!(answer.code, 201, "{}", answer.text);
        answer.value()
    }

    pub(crate) async fn patch(&mut self, uri: &str, kind: &str, patch: Value) -> Answer {
        let kind = format!("application/{kind}");
        self.ask(Method::PATCH, uri, &[("content-type", &kind)], patch.to_string().as_bytes()).await
    }

    pub(crate) async fn delete(&mut self, uri: &str) -> Answer {
        self.ask(Method::DELETE, uri, &[], b"").await
    }

    /// Opens a watch.
    pub(crate) async fn watch(&mut self, uri: &str) -> Watch {
        self.watch_as(uri, "application/json").await
    }

    pub(crate) async fn watch_as(&mut self, uri: &str, accept: &str) -> Watch {
        let response = self.send(Method::GET, uri, &[("accept", accept)], b"").await;
        assert_eq!(response.status(), 200);
        Watch { body: response.into_body(), buffer: Vec::new() }
    }
}

/// The events of a watch, line by line.
pub(crate) struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(std::time::Duration::from_secs(10), self.body.frame());
            let frame = frame.await.expect("an event in time")?.ok()?;
            self.buffer.extend_from_slice(frame.data_ref()?);
        }
    }

    /// The type of the next event and the name of its object.
    pub(crate) async fn next_named(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/type"), text("/object/metadata/name"))
    }
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"name": name}}, "data": {"k": "v"}})
}

pub(crate) fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "busybox"}]},
    })
}
