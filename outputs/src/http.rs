//! A server that takes JSON lines.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;

use crate::connect::{Place, Tls, connect};
use crate::encode::{Body, Encoding};
use crate::{SecretKey, SendError, Surroundings};

/// The most of an answer that is read: a connection with more is let go.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How much of a refusal is told on.
const SAID_CHARS_MAX: usize = 256;

/// Where a header's value is.
#[derive(Debug, Clone)]
pub enum HeaderSource {
    /// Here.
    Value(HeaderValue),
    /// In a Secret.
    Secret(SecretKey),
}

/// How a server is spoken to.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where to POST.
    pub uri: Uri,
    /// Whether chunks are compressed.
    pub gzip: bool,
    /// Headers of each request.
    pub headers: Vec<(HeaderName, HeaderSource)>,
    /// Whom to believe where the URI is of https.
    pub tls: Tls,
}

/// A server, and the connection to it while there is one.
pub(crate) struct Http {
    settings: HttpSettings,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    pub(crate) fn new(settings: HttpSettings) -> Self {
        Self { settings, connection: None }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        Encoding::Lines { gzip: self.settings.gzip }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Posts a chunk. Any status of success says that the server has it.
    pub(crate) async fn send(&mut self, body: &Body, surroundings: &dyn Surroundings) -> Result<(), SendError> {
        let request = self.request(body, surroundings).await?;
        if self.connection.is_none() {
            self.connection = Some(self.open(surroundings).await?);
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.ready().await.map_err(broken)?;
        let response = connection.send_request(request).await.map_err(broken)?;
        taken(response).await
    }

    async fn open(&self, surroundings: &dyn Surroundings) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let uri = &self.settings.uri;
        let is_secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let place = Place { host, port: uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 }) };
        let stream = connect(&place, is_secure.then_some(&self.settings.tls), surroundings).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the sender, and its end is told by the sender.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn request(&self, body: &Body, surroundings: &dyn Surroundings) -> Result<Request<Full<Bytes>>, SendError> {
        let uri = &self.settings.uri;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(body.bytes.clone()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = path.parse().map_err(|_| SendError::Protocol(format!("{path:?} is no path")))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("sampan"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        if self.settings.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let authority = uri.authority().and_then(|it| HeaderValue::from_str(it.as_str()).ok());
        headers.extend(authority.map(|authority| (HOST, authority)));
        for (name, source) in &self.settings.headers {
            let value = match source {
                HeaderSource::Value(value) => value.clone(),
                HeaderSource::Secret(key) => secret_header(key, surroundings).await?,
            };
            headers.insert(name, value);
        }
        Ok(request)
    }
}

async fn secret_header(key: &SecretKey, surroundings: &dyn Surroundings) -> Result<HeaderValue, SendError> {
    let value = surroundings.secret(key).await;
    let value = value.map_err(|why| SendError::Secret { key: key.clone(), why })?;
    // A newline at the end is how files end, and part of no header.
    let mut value = HeaderValue::from_str(value.trim_end()).map_err(|_| SendError::Header(key.clone()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn broken(error: hyper::Error) -> SendError {
    SendError::Broken(std::io::Error::other(error))
}

async fn taken(response: Response<Incoming>) -> Result<(), SendError> {
    let status = response.status();
    let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    if status.is_success() {
        return match answer {
            Ok(_) => Ok(()),
            // The status says it all; what is left to read keeps the connection from being used again.
            Err(error) => Err(SendError::Protocol(error.to_string())),
        };
    }
    let said = answer.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).trim().chars().take(SAID_CHARS_MAX).collect();
    Err(SendError::Status { status: status.as_u16(), said })
}
