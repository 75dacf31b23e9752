//! A collector that speaks Fluentd's forward protocol, with acknowledgements.

pub(crate) mod message;

use std::io;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::message::{Acknowledgement, Helo, HeloOptions, Ping, Pong, digest};
use crate::connect::{Place, Stream, Tls, connect};
use crate::encode::{Body, Encoding};
use crate::{SecretKey, SendError, Surroundings};

/// The longest answer, in bytes: none is longer than a few hundred.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of the salt that makes each proof another.
const SALT_BYTES: usize = 16;

/// How a collector is spoken to.
#[derive(Debug, Clone)]
pub struct ForwardSettings {
    /// Where it listens.
    pub place: Place,
    /// The tag of all records.
    pub tag: String,
    /// Whether chunks are compressed.
    pub gzip: bool,
    /// Who we are, where the collector asks.
    pub own_name: String,
    /// The key it shares with who sends to it.
    pub shared_key: Option<SecretKey>,
    /// The user and where its password is.
    pub user: Option<(String, SecretKey)>,
    /// Whom to believe, where TLS is spoken.
    pub tls: Option<Tls>,
}

/// A collector, and the connection to it while there is one.
pub(crate) struct Forward {
    settings: ForwardSettings,
    connection: Option<Connection>,
}

struct Connection {
    stream: Box<dyn Stream>,
    /// What was read and not understood yet.
    begun: Vec<u8>,
    /// Whether it serves more than one chunk.
    is_kept: bool,
}

impl Forward {
    pub(crate) fn new(settings: ForwardSettings) -> Self {
        Self { settings, connection: None }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        Encoding::Forward { tag: self.settings.tag.clone(), gzip: self.settings.gzip }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a chunk and waits for its acknowledgement.
    pub(crate) async fn send(&mut self, body: &Body, surroundings: &dyn Surroundings) -> Result<(), SendError> {
        if self.connection.is_none() {
            self.connection = Some(open(&self.settings, surroundings).await?);
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.write(&body.bytes).await?;
        let Acknowledgement { ack } = connection.read().await?;
        if ack != body.chunk {
            return Err(SendError::Protocol(format!("it acknowledges chunk {ack:?}, and {:?} was sent", body.chunk)));
        }
        if !connection.is_kept {
            self.connection = None;
        }
        Ok(())
    }
}

async fn open(settings: &ForwardSettings, surroundings: &dyn Surroundings) -> Result<Connection, SendError> {
    let stream = connect(&settings.place, settings.tls.as_ref(), surroundings).await?;
    let mut connection = Connection { stream, begun: Vec::new(), is_kept: true };
    if let Some(key) = &settings.shared_key {
        let key = secret(key, surroundings).await?;
        let user = match &settings.user {
            Some((name, password)) => (name.as_str(), secret(password, surroundings).await?),
            None => ("", String::new()),
        };
        shake_hands(&mut connection, &settings.own_name, &key, user).await?;
    }
    Ok(connection)
}

async fn secret(key: &SecretKey, surroundings: &dyn Surroundings) -> Result<String, SendError> {
    surroundings.secret(key).await.map_err(|why| SendError::Secret { key: key.clone(), why })
}

/// Each side proves to the other that it knows the key.
async fn shake_hands(
    connection: &mut Connection,
    own_name: &str,
    key: &str,
    (user, password): (&str, String),
) -> Result<(), SendError> {
    let Helo(hello, HeloOptions { nonce, auth, keepalive }) = connection.read().await?;
    if hello != "HELO" {
        return Err(SendError::Protocol(format!("it begins with {hello:?}")));
    }
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let salt = digest(&[&salt]);
    let proof = |name: &str| digest(&[salt.as_bytes(), name.as_bytes(), &nonce.0, key.as_bytes()]);
    let password = match auth.0.is_empty() {
        true => String::new(),
        false => digest(&[&auth.0, user.as_bytes(), password.as_bytes()]),
    };
    let ping = Ping("PING", own_name, &salt, &proof(own_name), user, &password);
    connection.write(&rmp_serde::to_vec(&ping).map_err(io::Error::other)?).await?;
    let Pong(pong, is_let_in, why, name, proved) = connection.read().await?;
    match (pong.as_str(), is_let_in) {
        ("PONG", true) if proved == proof(&name) => {}
        ("PONG", true) => return Err(SendError::Refused(format!("{name} does not know the shared key itself"))),
        ("PONG", false) => return Err(SendError::Refused(why)),
        _ => return Err(SendError::Protocol(format!("it answers with {pong:?}"))),
    }
    connection.is_kept = keepalive;
    Ok(())
}

impl Connection {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next message.
    async fn read<T: DeserializeOwned>(&mut self) -> Result<T, SendError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            if self.begun.len() > ANSWER_BYTES_MAX {
                return Err(SendError::Protocol("its answer has no end".to_owned()));
            }
            if self.stream.read_buf(&mut self.begun).await? == 0 {
                return Err(SendError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// A message, where a whole one was read.
    fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, SendError> {
        let mut rest = io::Cursor::new(self.begun.as_slice());
        match rmp_serde::from_read(&mut rest) {
            Ok(message) => {
                let read = usize::try_from(rest.position()).unwrap_or(usize::MAX);
                self.begun.drain(..read);
                Ok(Some(message))
            }
            Err(error) if is_unfinished(&error) => Ok(None),
            Err(error) => Err(SendError::Protocol(error.to_string())),
        }
    }
}

fn is_unfinished(error: &rmp_serde::decode::Error) -> bool {
    use rmp_serde::decode::Error::{InvalidDataRead, InvalidMarkerRead};
    matches!(error, InvalidMarkerRead(source) | InvalidDataRead(source) if source.kind() == io::ErrorKind::UnexpectedEof)
}
