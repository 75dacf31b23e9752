//! Where an output leads.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::connect::Place;
use crate::encode::{Body, Encoding};
use crate::file::{File, FileSettings};
use crate::forward::{Forward, ForwardSettings};
use crate::http::{Http, HttpSettings};
use crate::{SecretKey, Surroundings};

/// How long an attempt may take, connection, sending and acknowledgement together.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where an output leads.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A collector that speaks the forward protocol.
    Forward(ForwardSettings),
    /// A server that takes JSON lines.
    Http(HttpSettings),
    /// A file.
    File(FileSettings),
}

/// Why a chunk was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is nobody, or no way.
    #[error("failed to connect to {place}: {source}")]
    Connect {
        /// Where the collector should be.
        place: Place,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// There is somebody else, or nobody who is believed.
    #[error("failed to speak TLS with {place}: {source}")]
    Tls {
        /// Where the collector should be.
        place: Place,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// The authorities to be believed are none.
    #[error("failed to read the certificates of the authorities: {0}")]
    Authorities(String),
    /// No certificate can bear the name.
    #[error("{0:?} is no name a certificate can bear")]
    ServerName(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The collector took its time.
    #[error("no acknowledgement within {} s", ATTEMPT_TIMEOUT.as_secs())]
    Late,
    /// The collector speaks otherwise.
    #[error("the collector does not keep to the protocol: {0}")]
    Protocol(String),
    /// The collector does not let us in.
    #[error("the collector refuses: {0}")]
    Refused(String),
    /// The server answered, and did not take the chunk.
    #[error("the server answered with status {status}: {said}")]
    Status {
        /// The status.
        status: u16,
        /// What it said, in short.
        said: String,
    },
    /// A secret is missing.
    #[error("failed to read {key}: {why}")]
    Secret {
        /// Which.
        key: SecretKey,
        /// Why.
        why: String,
    },
    /// A secret cannot be what it is to be.
    #[error("what {0} holds cannot be a header's value")]
    Header(SecretKey),
    /// The disk refuses.
    #[error("failed to write {}: {source}", path.display())]
    File {
        /// What was written.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
}

impl SendError {
    /// Whether a connection was closed that had been there for a while, as collectors do that go: another is worth a try at once.
    fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// A destination with its connection.
pub(crate) enum Target {
    Forward(Forward),
    Http(Http),
    File(File),
}

impl Target {
    pub(crate) fn new(destination: Destination) -> Self {
        match destination {
            Destination::Forward(settings) => Self::Forward(Forward::new(settings)),
            Destination::Http(settings) => Self::Http(Http::new(settings)),
            Destination::File(settings) => Self::File(File::new(settings)),
        }
    }

    /// How chunks are written for it.
    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Self::Forward(forward) => forward.encoding(),
            Self::Http(http) => http.encoding(),
            Self::File(_) => Encoding::Lines { gzip: false },
        }
    }

    /// Sends a chunk, and returns when it is acknowledged.
    pub(crate) async fn send(&mut self, body: &Body, surroundings: &dyn Surroundings) -> Result<(), SendError> {
        let was_connected = self.is_connected();
        match self.attempt(body, surroundings).await {
            Err(error) if was_connected && error.is_broken() => self.attempt(body, surroundings).await,
            sent => sent,
        }
    }

    /// One attempt. After a failure there is no connection: what was half sent on it cannot be gone on with.
    async fn attempt(&mut self, body: &Body, surroundings: &dyn Surroundings) -> Result<(), SendError> {
        let sending = async {
            match self {
                Self::Forward(forward) => forward.send(body, surroundings).await,
                Self::Http(http) => http.send(body, surroundings).await,
                Self::File(file) => file.send(body).await,
            }
        };
        let sent = tokio::time::timeout(ATTEMPT_TIMEOUT, sending).await.unwrap_or(Err(SendError::Late));
        if sent.is_err() {
            self.disconnect();
        }
        sent
    }

    fn is_connected(&self) -> bool {
        match self {
            Self::Forward(forward) => forward.is_connected(),
            Self::Http(http) => http.is_connected(),
            Self::File(_) => false,
        }
    }

    fn disconnect(&mut self) {
        match self {
            Self::Forward(forward) => forward.disconnect(),
            Self::Http(http) => http.disconnect(),
            Self::File(file) => file.close(),
        }
    }
}
