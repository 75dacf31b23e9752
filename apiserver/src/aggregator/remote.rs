//! The way to another server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{HeaderMap, Request};
use rustls_pki_types::ServerName;
use sampan_core::access::Identity;
use sampan_core::store::Snapshot;
use sampan_trust::{anybody, authorities, client_believing};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ApiService, front_proxy};
use crate::VERSION;
use crate::proxy::send;
use crate::tls::Credential;

/// How long a server may take to say what it serves, as in Kubernetes.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest list of what is served, in bytes.
const LIST_BYTES_MAX: usize = 4 << 20;
/// Who asks what a server serves, as in Kubernetes.
const ASKING: (&str, &str) = ("system:kube-aggregator", "system:masters");

impl ApiService {
    /// As its certificate names it.
    pub(super) fn host(&self) -> String {
        format!("{}.{}.svc", self.service.name, self.service.namespace)
    }

    /// A connection to it, on which `own` is shown.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn connect(
        &self,
        snapshot: &Snapshot,
        own: Option<&Credential>,
    ) -> Result<TlsStream<TcpStream>, String> {
        let (address, port) = self.service.address(snapshot)?;
        let belief = match self.authorities.clone().transpose()? {
            Some(pem) => authorities(&pem)?,
            None => anybody(),
        };
        let config = client_believing(belief).map_err(|error| error.to_string())?;
        let config = match own.map(Credential::to_der).transpose().map_err(|error| error.to_string())? {
            Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key),
            None => Ok(config.with_no_client_auth()),
        };
        let config = config.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(self.host()).map_err(|error| error.to_string())?;
        let stream = TcpStream::connect((address.as_str(), port)).await;
        let stream = stream.map_err(|error| format!("dial tcp {address}:{port}: connect: {error}"))?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        connected.map_err(|error| format!("tls: failed to verify certificate: {error}"))
    }

    /// What it says that it serves in its version: an `APIResourceList`.
    ///
    /// # Errors
    /// What is wrong with its answer, as Kubernetes tells it.
    pub(super) async fn serving(&self, snapshot: &Snapshot, own: Option<&Credential>) -> Result<Value, String> {
        let place = self.service.address(snapshot).map(|(address, port)| format!("{address}:{port}"));
        let url = format!("https://{}/apis/{}", place.unwrap_or_else(|_| self.host()), self.group_version());
        let asked = timeout(DISCOVERY_TIMEOUT, self.ask(snapshot, own)).await;
        let said = asked.unwrap_or_else(|_| Err(Failure::Request("context deadline exceeded".to_owned())));
        let why = match said {
            Ok(list) => return Ok(list),
            Err(Failure::Status(status)) => format!("bad status from {url}: {status}"),
            Err(Failure::Request(why)) => format!("Get {url:?}: {why}"),
        };
        Err(format!("failing or missing response from {url}: {why}"))
    }

    async fn ask(&self, snapshot: &Snapshot, own: Option<&Credential>) -> Result<Value, Failure> {
        let stream = self.connect(snapshot, own).await.map_err(Failure::Request)?;
        let mut headers = HeaderMap::new();
        front_proxy::tell(&mut headers, &Identity::new(ASKING.0, &[ASKING.1]));
        let request = Request::get(format!("/apis/{}", self.group_version()))
            .header(HOST, self.host())
            .header(USER_AGENT, format!("sampan/{VERSION}"))
            .header(ACCEPT, "application/json")
            .body(Empty::<Bytes>::new());
        let mut request = request.map_err(|error| Failure::Request(error.to_string()))?;
        request.headers_mut().extend(headers);
        let answer = send(Box::new(stream), request).await.map_err(|status| Failure::Request(status.message))?;
        if !answer.status().is_success() {
            return Err(Failure::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), LIST_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::Request(error.to_string()))?.to_bytes();
        // One that answers something else is available all the same, and serves nothing that is known.
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }
}

/// Why a server does not say what it serves.
enum Failure {
    /// It answers with this status.
    Status(u16),
    /// It does not answer.
    Request(String),
}
