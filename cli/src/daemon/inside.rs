//! The node inside this process: its client of the API, and the API server's way to it. Both directions speak HTTP over a
//! pipe in memory; who opens the pipe says who is at its other end.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::Body;
use sampan_apiserver::{ApiServer, Caller, NodeConnector, NodeStream, RemoteNodes};
use sampan_core::access::{AUTHENTICATED, Identity};
use sampan_nodeagent::{KubeletApi, serve_kubelet};

/// What a pipe holds before the writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// A client of the API for the node, over a pipe, known as the node and a member of `group`.
pub(super) async fn node_client(server: &ApiServer, node: &str, group: &str) -> Result<kube::Client> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let identity = Identity::new(format!("system:node:{node}"), &[group, AUTHENTICATED]);
    let server = server.clone();
    tokio::spawn(async move { server.serve_connection(theirs, Caller::Known(Arc::new(identity))).await });
    let (requests, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(ours)).await.context("failed to open the node's pipe")?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the node's pipe to the API server closed");
        }
    });
    Ok(kube::Client::new(Pipe(requests), "default"))
}

/// Sends requests over the pipe.
#[derive(Clone)]
struct Pipe(SendRequest<Body>);

impl tower_service::Service<Request<Body>> for Pipe {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        *request.uri_mut() = absolute(request.uri());
        Box::pin(self.0.send_request(request))
    }
}

/// HTTP/2 wants to know the host even where there is only one.
fn absolute(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::from_static("sampan"));
    Uri::from_parts(parts).unwrap_or_default()
}

/// The way to the nodes: to those of this process, by their kubelet APIs; to all others, over TLS. Clones share it.
#[derive(Clone)]
pub(super) struct Kubelets {
    here: Arc<Mutex<BTreeMap<String, Arc<KubeletApi>>>>,
    elsewhere: Arc<RemoteNodes>,
}

impl Kubelets {
    /// No node runs here yet.
    pub(super) fn new(elsewhere: RemoteNodes) -> Self {
        Self { here: Arc::default(), elsewhere: Arc::new(elsewhere) }
    }

    /// Makes a node reachable.
    pub(super) fn add(&self, node: &str, kubelet: Arc<KubeletApi>) {
        self.here.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), kubelet);
    }

    fn get(&self, node: &str) -> Option<Arc<KubeletApi>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }
}

impl NodeConnector for Kubelets {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        let Some(kubelet) = self.get(node) else { return self.elsewhere.connect(node) };
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            tokio::spawn(serve_kubelet(theirs, kubelet));
            Ok(Box::new(ours) as Box<dyn NodeStream>)
        })
    }
}
