//! Connections to collectors, plain or over TLS.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{SendError, Surroundings};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a collector listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Whom to believe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates of the authorities, in PEM. Without any, those the host believes.
    pub authorities: Vec<u8>,
    /// The name the collector's certificate must bear, where it is not the host's.
    pub server_name: Option<String>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Connects, within the time that may take.
pub(crate) async fn connect(
    place: &Place,
    tls: Option<&Tls>,
    surroundings: &dyn Surroundings,
) -> Result<Box<dyn Stream>, SendError> {
    let failed = |source| SendError::Connect { place: place.clone(), source };
    let late = || failed(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    let connecting = async {
        let stream = dial(place, surroundings).await.map_err(failed)?;
        // Chunks are written whole: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        match tls {
            None => Ok(Box::new(stream) as Box<dyn Stream>),
            Some(tls) => secure(stream, place, tls).await,
        }
    };
    timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(late()))
}

async fn dial(place: &Place, surroundings: &dyn Surroundings) -> io::Result<TcpStream> {
    let known: Option<IpAddr> = place.host.parse().ok().or_else(|| surroundings.address(&place.host));
    match known {
        Some(address) => TcpStream::connect((address, place.port)).await,
        None => TcpStream::connect((place.host.as_str(), place.port)).await,
    }
}

async fn secure(stream: TcpStream, place: &Place, tls: &Tls) -> Result<Box<dyn Stream>, SendError> {
    let config = sampan_trust::client_config(&tls.authorities).map_err(SendError::Authorities)?;
    let name = tls.server_name.as_ref().unwrap_or(&place.host);
    let name = ServerName::try_from(name.clone()).map_err(|_| SendError::ServerName(name.clone()))?;
    let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    Ok(Box::new(secured.map_err(|source| SendError::Tls { place: place.clone(), source })?))
}
