//! Many watchers on one thread, which do no more than a watcher must: take what comes, and see that it has come. Whatever
//! else they did would be measured as the server's, which has the same cores.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use memchr::memmem;
use sampan_system_tests::api::Credentials;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A watcher that is told nothing for so long has been forgotten.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// How much is read at once, in bytes: what is told of one change is far less.
const READ_BYTES: usize = 16 << 10;

/// Watchers of one collection, each on a connection of its own.
pub(crate) struct Crowd {
    runtime: Runtime,
    watchers: Vec<Watcher>,
}

impl Crowd {
    /// So many watchers, each of which has been told of all that is there: of one thing at least.
    pub(crate) fn gather(credentials: &Credentials, path: &str, count: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let watchers = (0..count).map(|_| Watcher::begin(credentials, path));
        let watchers = runtime.block_on(try_join_all(watchers))?;
        Ok(Self { runtime, watchers })
    }

    /// For each of so many changes, in their order, when the last watcher was told of it: what tells of one has `needle` in it
    /// once.
    pub(crate) fn told(self, needle: &[u8], changes: usize) -> Result<Vec<Instant>> {
        let Self { runtime, watchers } = self;
        let told = watchers.into_iter().map(|watcher| watcher.told(needle, changes));
        let mut told = runtime.block_on(try_join_all(told))?.into_iter();
        let mut last = told.next().context("nobody watches")?;
        for seen in told {
            last.iter_mut().zip(seen).for_each(|(last, seen)| *last = seen.max(*last));
        }
        Ok(last)
    }
}

struct Watcher(TlsStream<TcpStream>);

impl Watcher {
    async fn begin(credentials: &Credentials, path: &str) -> Result<Self> {
        let tcp = TcpStream::connect(credentials.address()).await?;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(credentials.tls().clone());
        let mut stream = connector.connect(credentials.server_name()?, tcp).await?;
        let request = format!("GET {path}?watch=true HTTP/1.1\r\nHost: {}\r\n\r\n", credentials.address());
        stream.write_all(request.as_bytes()).await?;
        // What the socket would not take at once stays in the buffer of TLS.
        stream.flush().await?;
        let mut watcher = Self(stream);
        let mut received = Vec::new();
        while memmem::find(&received, b"ADDED").is_none() {
            watcher.receive(&mut received).await?;
        }
        ensure!(received.starts_with(b"HTTP/1.1 200 "), "no watch: {}", String::from_utf8_lossy(&received));
        Ok(watcher)
    }

    /// When it was told of each change.
    async fn told(mut self, needle: &[u8], changes: usize) -> Result<Vec<Instant>> {
        let (mut told, mut received) = (Vec::with_capacity(changes), Vec::with_capacity(READ_BYTES));
        while told.len() < changes {
            self.receive(&mut received).await.with_context(|| format!("told of {} of {changes}", told.len()))?;
            let now = Instant::now();
            let mut seen = 0;
            for at in memmem::find_iter(&received, needle) {
                told.push(now);
                seen = at + needle.len();
            }
            // What may be the beginning of the next needle is looked at again.
            received.drain(..seen.max(received.len().saturating_sub(needle.len())));
        }
        Ok(told)
    }

    async fn receive(&mut self, into: &mut Vec<u8>) -> Result<()> {
        into.reserve(READ_BYTES);
        if timeout(TOLD_WITHIN, self.0.read_buf(into)).await?? == 0 {
            bail!("the watch ended");
        }
        Ok(())
    }
}
