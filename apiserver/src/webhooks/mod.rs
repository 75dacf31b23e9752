//! Puts questions to webhooks, over HTTPS.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use sampan_core::gateway::{Call, Reply, Told, WebhookClient};
use sampan_trust::client_config;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::VERSION;

/// How much of a refusal is told on.
const REFUSAL_CHARS_MAX: usize = 256;
const HTTPS_PORT: u16 = 443;

/// Why a webhook gave no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{0:?} is no URL of a host")]
    Url(String),
    #[error("unable to load root certificates: {0}")]
    Authorities(String),
    #[error("dial tcp {0}:{1}: connect: {2}")]
    Connect(String, u16, std::io::Error),
    #[error("tls: failed to verify certificate: {0}")]
    Tls(std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the server answered with status {0}: {1}")]
    Refused(u16, String),
    #[error("context deadline exceeded")]
    Late,
}

/// Puts questions to webhooks, each on a connection of its own.
pub struct HttpsWebhooks(Handle);

impl HttpsWebhooks {
    /// Calls are made on that runtime.
    pub fn new(runtime: Handle) -> Self {
        Self(runtime)
    }
}

impl WebhookClient for HttpsWebhooks {
    fn ask(&self, calls: Vec<Call>, tell: Told) {
        self.0.spawn(async move {
            let asked = calls.into_iter().map(|call| async {
                let reply = reply(&call).await;
                (call, reply)
            });
            tell(join_all(asked).await);
        });
    }
}

async fn reply(call: &Call) -> Reply {
    let answer = timeout(call.timeout, post(call)).await.unwrap_or(Err(CallError::Late));
    answer.map_err(|error| format!("Post {:?}: {error}", call.url))
}

async fn post(call: &Call) -> Result<Bytes, CallError> {
    let no_url = || CallError::Url(call.url.clone());
    let uri: Uri = call.url.parse().map_err(|_| no_url())?;
    let (host, authority) = uri.host().zip(uri.authority()).ok_or_else(no_url)?;
    let stream = connect(call, host, uri.port_u16().unwrap_or(HTTPS_PORT)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, format!("sampan/{VERSION}"))
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(call.body.clone()))
        .map_err(|_| no_url())?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = match sender.send_request(request).await {
        Ok(response) => answer(response, call.answer_bytes_max).await,
        Err(error) => Err(error.into()),
    };
    connection.abort();
    answer
}

async fn connect(call: &Call, host: &str, port: u16) -> Result<TlsStream<TcpStream>, CallError> {
    let (address, port) = call.connect_to.as_ref().map_or((host, port), |(address, port)| (address, *port));
    let address = address.trim_matches(['[', ']']);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(|_| CallError::Url(call.url.clone()))?;
    let connected = TcpStream::connect((address, port)).await;
    let stream = connected.map_err(|error| CallError::Connect(address.to_owned(), port, error))?;
    let config = client_config(&call.authorities).map_err(CallError::Authorities)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(CallError::Tls)
}

async fn answer(response: Response<Incoming>, bytes_max: usize) -> Result<Bytes, CallError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), bytes_max).collect().await.map_err(CallError::Body)?;
    let body = body.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    let said: String = String::from_utf8_lossy(&body).trim().chars().take(REFUSAL_CHARS_MAX).collect();
    Err(CallError::Refused(status.as_u16(), said))
}
