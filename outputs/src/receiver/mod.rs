//! The other end, for tests: collectors that keep to the published protocols, written without a line of what sends to them.
//!
//! A collector remembers what it took. It can be stopped and started again on the same port, and told to lose
//! acknowledgements, as one does that is killed between taking a chunk and saying so.

mod forward;
mod http;
mod msgpack;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What a collector asks of who sends to it.
#[derive(Clone, Default)]
pub struct Demands {
    /// The key it shares with them.
    pub shared_key: Option<String>,
    /// A user and a password.
    pub user: Option<(String, String)>,
    /// TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// A header each request must bear.
    pub header: Option<(String, String)>,
    /// A connection for each chunk.
    pub one_chunk_a_connection: bool,
}

/// The protocol a collector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Fluentd's forward protocol, version 1.
    Forward,
    /// HTTP/1.1 with JSON lines.
    Http,
}

/// A record that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The tag; empty over HTTP.
    pub tag: String,
    /// Its time, in seconds and nanoseconds of the epoch, where it has one beside its fields.
    pub time: Option<(u32, u32)>,
    /// Its fields.
    pub record: Value,
}

/// What a collector remembers, however often it is stopped.
#[derive(Default)]
struct Memory {
    received: Vec<Received>,
    chunks: usize,
    refusals: Vec<String>,
    /// So many chunks are taken and not acknowledged.
    lost_acknowledgements: usize,
    connections: Vec<TcpStream>,
    /// Threads that serve.
    serving: usize,
    is_open: bool,
}

struct Shared {
    speaks: Speaks,
    demands: Demands,
    memory: Mutex<Memory>,
    news: Condvar,
}

/// A collector on a port of its own on loopback.
pub struct Collector {
    shared: Arc<Shared>,
    address: SocketAddr,
}

/// Bytes both ways, plain or not.
trait Both: Read + Write {}

impl<S: Read + Write> Both for S {}

impl Collector {
    /// Opens a collector.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(speaks: Speaks, demands: Demands) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { speaks, demands, memory: Mutex::default(), news: Condvar::new() });
        let collector = Self { shared, address };
        collector.serve(listener);
        Ok(collector)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Takes no more connections, and breaks those there are.
    pub fn stop(&self) {
        self.shared.memory().is_open = false;
        // The listener wakes up, sees that it is to end, and frees the port.
        let _ = TcpStream::connect(self.address);
        let mut memory = self.shared.memory();
        memory.connections.drain(..).for_each(|connection| drop(connection.shutdown(Shutdown::Both)));
        while memory.serving > 0 {
            memory = self.shared.news.wait(memory).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Comes back on the same port.
    ///
    /// # Errors
    /// When somebody else has it by now.
    pub fn restart(&self) -> io::Result<()> {
        self.serve(TcpListener::bind(self.address)?);
        Ok(())
    }

    /// Takes so many chunks and breaks the connection instead of acknowledging them.
    pub fn lose_acknowledgements(&self, count: usize) {
        self.shared.memory().lost_acknowledgements = count;
    }

    /// Waits until what was received is enough, and tells it.
    ///
    /// # Errors
    /// What there is when `patience` has run out.
    pub fn until(
        &self,
        patience: Duration,
        is_enough: impl Fn(&[Received]) -> bool,
    ) -> Result<Vec<Received>, Vec<Received>> {
        let deadline = Instant::now() + patience;
        let mut memory = self.shared.memory();
        loop {
            if is_enough(&memory.received) {
                return Ok(memory.received.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(memory.received.clone());
            }
            memory = self.shared.news.wait_timeout(memory, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many chunks were taken.
    pub fn chunks(&self) -> usize {
        self.shared.memory().chunks
    }

    /// Why it let somebody not in, or understood nothing.
    pub fn refusals(&self) -> Vec<String> {
        self.shared.memory().refusals.clone()
    }

    fn serve(&self, listener: TcpListener) {
        let shared = self.shared.clone();
        shared.memory().is_open = true;
        let serving = Serving::begin(&shared);
        std::thread::spawn(move || {
            let _serving = serving;
            // The port is free once nobody serves any more.
            let listener = listener;
            for connection in listener.incoming().flatten() {
                let mut memory = shared.memory();
                if !memory.is_open {
                    break;
                }
                memory.connections.extend(connection.try_clone());
                drop(memory);
                let serving = Serving::begin(&shared);
                std::thread::spawn(move || serving.0.attend(connection));
            }
        });
    }
}

/// A thread that serves.
struct Serving(Arc<Shared>);

impl Serving {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.memory().serving += 1;
        Self(shared.clone())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.memory().serving -= 1;
        self.0.news.notify_all();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection to its end.
    fn attend(&self, connection: TcpStream) {
        let end = connection.try_clone();
        let served = match &self.demands.tls {
            None => self.converse(connection),
            Some(config) => ServerConnection::new(config.clone())
                .map_err(io::Error::other)
                .and_then(|tls| self.converse(StreamOwned::new(tls, connection))),
        };
        if let Err(error) = served {
            self.memory().refusals.push(error.to_string());
        }
        // Those who may have to break it hold it open.
        let _ = end.and_then(|end| end.shutdown(Shutdown::Both));
        self.news.notify_all();
    }

    fn converse(&self, mut stream: impl Read + Write) -> io::Result<()> {
        match self.speaks {
            Speaks::Forward => forward::converse(self, &mut stream),
            Speaks::Http => http::converse(self, &mut stream),
        }
    }

    /// Takes a chunk. False where it is not to be acknowledged.
    fn take(&self, records: Vec<Received>) -> bool {
        let mut memory = self.memory();
        memory.received.extend(records);
        memory.chunks += 1;
        let is_lost = memory.lost_acknowledgements > 0;
        memory.lost_acknowledgements = memory.lost_acknowledgements.saturating_sub(1);
        drop(memory);
        self.news.notify_all();
        !is_lost
    }
}
