//! Tells load balancers before the cluster whether this node has pods of a Service: what a Service whose traffic stays on the node
//! it came to has a `healthCheckNodePort` for.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::frontend::is_ready;
use crate::services::{Directory, Known, ServiceKey};

/// A port that another has, one of ours that is being given up among them, is asked for again after this.
const RETRY: Duration = Duration::from_secs(1);
/// Who asks and says nothing for so long is let go.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
/// Connections to one port at a time; who comes then waits.
const CONNECTIONS_MAX: usize = 32;

/// Answers at the ports Services have for it, until `shutdown`.
pub async fn run(directory: Arc<Directory>, node: &str, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(keep(directory, node)).await;
}

async fn keep(directory: Arc<Directory>, node: &str) {
    let mut changes = directory.follow();
    let mut open: BTreeMap<ServiceKey, Door> = BTreeMap::new();
    while let Some(change) = changes.recv().await {
        for key in &change.services {
            let wanted = directory.read(|known| known.service(key).and_then(port));
            if open.get(key).map(|door| door.port) == wanted {
                continue;
            }
            open.remove(key);
            if let Some(port) = wanted {
                let question = Question { directory: directory.clone(), node: node.to_owned(), key: key.clone() };
                open.insert(key.clone(), Door { port, serving: tokio::spawn(serve(port, question)) });
            }
        }
    }
}

fn port(service: &Service) -> Option<u16> {
    let port = service.spec.as_ref()?.health_check_node_port?;
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// A port that is answered at; it is closed when this goes.
struct Door {
    port: u16,
    serving: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(port: u16, question: Question) {
    let listener = listen(port, &question.key).await;
    let question = Arc::new(question);
    let mut connections = JoinSet::new();
    loop {
        // One that is refused at the last moment is the client's affair.
        let Ok((connection, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        connections.spawn(converse(connection, question.clone()));
    }
}

async fn listen(port: u16, (namespace, name): &ServiceKey) -> TcpListener {
    let mut has_complained = false;
    loop {
        match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
            Ok(listener) => return listener,
            Err(error) if !has_complained => {
                tracing::warn!(%error, namespace, name, port, "nobody answers health checks of the Service; trying again");
                has_complained = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn converse(connection: TcpStream, question: Arc<Question>) {
    let answer = service_fn(|_| async { Ok::<_, Infallible>(question.answer()) });
    let mut server = hyper::server::conn::http1::Builder::new();
    let conversation = server.keep_alive(false).serve_connection(TokioIo::new(connection), answer);
    // A client that hangs up early is its own affair.
    let _ = tokio::time::timeout(CONNECTION_MAX, conversation).await;
}

/// Whose pods are asked for.
struct Question {
    directory: Arc<Directory>,
    node: String,
    key: ServiceKey,
}

impl Question {
    /// As kube-proxy answers.
    fn answer(&self) -> Response<Full<Bytes>> {
        let count = self.directory.read(|known| local_endpoints(known, &self.key, &self.node));
        let (namespace, name) = &self.key;
        let service = json!({"namespace": namespace, "name": name});
        let body = json!({"service": service, "localEndpoints": count, "serviceProxyHealthy": true}).to_string();
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = if count > 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let headers = response.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
        headers.insert("x-load-balancing-endpoint-weight", http::HeaderValue::from(count));
        response
    }
}

/// How many ready endpoints of a Service are on the node, whatever their ports.
fn local_endpoints(known: &Known, key: &ServiceKey, node: &str) -> usize {
    let endpoints = known.slices(key).flat_map(|slice| &slice.endpoints);
    let here = endpoints.filter(|it| is_ready(it) && it.node_name.as_deref() == Some(node));
    here.filter_map(|endpoint| endpoint.addresses.first()).collect::<BTreeSet<_>>().len()
}
