//! One connection of a load.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer larger than this is none of the demo's.
const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// A connection on which one request is sent after the other.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    door: SocketAddr,
}

/// What was answered, and whether the connection goes on.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) page: String,
    pub(super) is_last: bool,
}

impl Connection {
    pub(super) async fn open(door: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(door).await.context("failed to connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, door })
    }

    /// Whether the server has ended the connection while nothing was asked on it, as a client looks before it asks.
    ///
    /// # Errors
    /// When the connection was broken, not ended.
    pub(super) fn has_ended(&self) -> Result<bool> {
        match self.stream.try_read(&mut [0]) {
            Ok(0) => Ok(true),
            Ok(_) => bail!("the server spoke unasked"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("a connection that was kept broke"),
        }
    }

    pub(super) async fn ask(&mut self, keeps: bool) -> Result<Answer> {
        let connection = if keeps { "keep-alive" } else { "close" };
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n\r\n", self.door);
        self.stream.write_all(request.as_bytes()).await.context("failed to send the request")?;
        let mut received = Vec::new();
        loop {
            if let Some(answer) = whole(&received)? {
                return Ok(answer);
            }
            ensure!(received.len() < ANSWER_MAX_BYTES, "the answer does not end");
            let count = self.stream.read_buf(&mut received).await.context("failed to read the answer")?;
            ensure!(count > 0, "the connection ended after {} bytes of an answer", received.len());
        }
    }
}

/// The answer, once all of it is there.
fn whole(received: &[u8]) -> Result<Option<Answer>> {
    let text = String::from_utf8_lossy(received);
    let Some((head, page)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "status {status}");
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length: usize = header("content-length:").context("the answer has no length")?.parse()?;
    let is_last = header("connection:") == Some("close");
    ensure!(page.len() <= length, "the answer is longer than it says");
    Ok((page.len() == length).then(|| Answer { page: page.to_owned(), is_last }))
}
