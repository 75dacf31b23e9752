//! The API server on another machine, spoken to over one connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::Body;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use sampan_trust::Pinned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{IdentityError, SERVER_NAME};

/// How often a silent server is asked whether it is still there, and how long it may take to say so: a watch over a
/// connection that is dead would otherwise wait for ever.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends requests to the API server.
#[derive(Clone)]
pub(super) struct Https {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    authority: Authority,
    token: Option<HeaderValue>,
}

impl Https {
    /// A client of the server, who asks with a token where it has one.
    pub(super) fn new(server: &Uri, config: ClientConfig, token: Option<&str>) -> Result<Self, IdentityError> {
        let authority = authority(server)?.clone();
        let name =
            ServerName::try_from(SERVER_NAME).map_err(|error| IdentityError::malformed("the server's name", &error))?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        let connector =
            connector.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http2().wrap_connector(http);
        let mut client = Client::builder(TokioExecutor::new());
        client.http2_only(true).timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        client.http2_keep_alive_interval(PING_INTERVAL).http2_keep_alive_timeout(PING_TIMEOUT);
        client.http2_keep_alive_while_idle(true);
        let bearer = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let token = bearer.map_err(|error| IdentityError::malformed("the token", &error))?;
        Ok(Self { client: client.build(connector), authority, token })
    }

    pub(super) fn into_client(self) -> kube::Client {
        kube::Client::new(self, "default")
    }
}

impl tower_service::Service<Request<Body>> for Https {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(http::uri::Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        if let Some(token) = &self.token {
            request.headers_mut().insert(http::header::AUTHORIZATION, token.clone());
        }
        Box::pin(self.client.request(request))
    }
}

/// The certificate of the authority that vouches for the server, which is to be the pinned one.
pub(super) async fn meet(server: &Uri, pinned: Arc<Pinned>) -> Result<CertificateDer<'static>, IdentityError> {
    let unreachable = |why: String| IdentityError::Unreachable { server: server.to_string(), why };
    let (place, config) = (authority(server)?, pinned.client_config()?);
    let shaken = async {
        let stream = TcpStream::connect((bare(place.host()), place.port_u16().unwrap_or(443))).await?;
        let name = ServerName::try_from(SERVER_NAME).map_err(std::io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let shaken = tokio::time::timeout(CONNECT_TIMEOUT, shaken).await;
    shaken
        .map_err(|_| unreachable("it does not answer".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let shown = pinned.authority().cloned();
    shown.ok_or_else(|| unreachable("it does not show the authority that vouches for it".to_owned()))
}

/// An address of IPv6 is written in brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn authority(server: &Uri) -> Result<&Authority, IdentityError> {
    let is_https = server.scheme_str() == Some("https");
    server.authority().filter(|_| is_https).ok_or_else(|| IdentityError::NoServer(server.to_string()))
}
