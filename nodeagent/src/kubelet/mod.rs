//! The kubelet's HTTP API: logs, exec, attach, port-forward, statistics.
//!
//! It is served over any stream: an in-memory pipe from the API server of the same process, or TLS from another machine.

mod channel;
mod forward;
mod handshake;
mod kept;
mod listener;
mod logs;
mod pipe;
mod query;
mod remote;
mod search;
mod spdy;
mod stats;
mod tunnel;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::listener::listen_kubelet;
use self::query::Query;
use crate::pod::{ContainerRecord, Situation};
use crate::runtime::docker::Docker;
use crate::shell::Asker;

/// The body of an answer.
type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The kubelet API of one node.
pub struct KubeletApi {
    node: String,
    asker: Asker,
    docker: Option<Arc<Docker>>,
    meter: stats::Meter,
}

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("pod \"{0}\" not found on this node")]
    NoPod(String),
    #[error("container \"{1}\" is not valid for pod \"{0}\"")]
    NoContainer(String, String),
    #[error("container \"{1}\" in pod \"{0}\" is waiting to start: {2}")]
    Waiting(String, String, String),
    #[error("container \"{1}\" in pod \"{0}\" is terminated")]
    Terminated(String, String),
    #[error("unable to retrieve container logs for docker://{0}")]
    NoLog(String),
    #[error("previous terminated container \"{1}\" in pod \"{0}\" not found")]
    NoPrevious(String, String),
    #[error("container \"{1}\" in pod \"{0}\" is not running")]
    NotRunning(String, String),
    #[error("node {0} is simulated: there is no container behind its pods")]
    Simulated(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("failed to ask Docker: {0}")]
    Docker(#[from] bollard::errors::Error),
}

impl Refused {
    fn code(&self) -> StatusCode {
        match self {
            Self::NoPod(_) => StatusCode::NOT_FOUND,
            Self::Simulated(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Docker(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl KubeletApi {
    pub(crate) fn on_docker(node: String, asker: Asker, docker: Arc<Docker>) -> Self {
        Self { node, asker, docker: Some(docker), meter: stats::Meter::default() }
    }

    pub(crate) fn of_simulated(node: String, asker: Asker) -> Self {
        Self { node, asker, docker: None, meter: stats::Meter::default() }
    }

    fn docker(&self) -> Result<&Arc<Docker>, Refused> {
        self.docker.as_ref().ok_or_else(|| Refused::Simulated(self.node.clone()))
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Situation, Refused> {
        let found = self.asker.find(&self.node, namespace, name).await;
        found.ok_or_else(|| Refused::NoPod(format!("{namespace}/{name}")))
    }

    /// The run of a container that lives.
    async fn running(&self, namespace: &str, name: &str, container: &str) -> Result<ContainerRecord, Refused> {
        let pod = self.pod(namespace, name).await?;
        let known = pod.container(container).is_some();
        let missing = || Refused::NoContainer(name.to_owned(), container.to_owned());
        let run = pod.latest(container).filter(|_| known).ok_or_else(missing)?;
        if run.is_running() { Ok(run.clone()) } else { Err(Refused::NotRunning(name.to_owned(), container.to_owned())) }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
        let path = request.uri().path().to_owned();
        let query = Query::of(request.uri().query());
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is_get = request.method() == Method::GET;
        match parts.as_slice() {
            ["healthz"] => Ok(text(StatusCode::OK, "ok")),
            ["pods"] if is_get => self.list_pods().await,
            ["stats", "summary"] if is_get => self.stats(&query).await,
            ["logs"] if is_get => self.search_logs(&query),
            ["stats", "logs"] if is_get => self.log_counts(),
            ["containerLogs", namespace, pod, container] if is_get => {
                self.logs(namespace, pod, container, &query, request).await
            }
            ["exec", namespace, pod, container] => self.exec(namespace, pod, container, &query, request).await,
            ["attach", namespace, pod, container] => self.attach(namespace, pod, container, &query, request).await,
            ["portForward", namespace, pod] => self.port_forward(namespace, pod, &query, request).await,
            _ => Ok(text(StatusCode::NOT_FOUND, "404 page not found")),
        }
    }

    async fn list_pods(&self) -> Result<Response<Body>, Refused> {
        let pods = self.asker.pods(&self.node).await;
        let items: Vec<_> = pods.iter().map(|situation| &*situation.pod).collect();
        let list = serde_json::json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items });
        Ok(json(&list))
    }
}

fn text(code: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(full(text.into()));
    *response.status_mut() = code;
    response.headers_mut().insert("Content-Type", http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    response.headers_mut().insert("Content-Type", http::HeaderValue::from_static("application/json"));
    response
}

fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// Serves the kubelet API to one connection, until the other end closes it.
///
/// exec, attach and port-forward are upgraded to WebSockets or SPDY/3.1; whoever proxies the connection passes the bytes
/// after the upgrade on unchanged.
pub async fn serve_kubelet<S>(stream: S, api: Arc<KubeletApi>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let api = api.clone();
        async move {
            let answered = api.answer(request).await;
            Ok::<_, Infallible>(answered.unwrap_or_else(|refused| text(refused.code(), refused.to_string())))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "a connection to the kubelet API broke");
    }
}
