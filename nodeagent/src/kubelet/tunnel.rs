//! Port-forward over SPDY: the client opens a pair of streams for each connection it forwards, as many as it likes.
//!
//! Both streams of a pair carry the same `requestid` and `port`; the data goes over one (`streamtype: data`), what goes wrong
//! is told on the other (`streamtype: error`).

use std::collections::BTreeMap;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::{AbortHandle, JoinSet};

use super::pipe::{Inlet, Outlet, pipe};
use super::spdy::{Event, Headers, Receiver, Sender, StreamId};

/// Bytes read from a port at one time.
const READ_BYTES: usize = 32 << 10;
/// Bytes that wait for a port that reads slowly; then the whole connection waits, as SPDY has it here.
const WAITING_BYTES_MAX: usize = 64 << 10;
/// The longest name of a pair, in bytes: clients count them.
const REQUEST_BYTES_MAX: usize = 64;

/// A pair of streams as it is opened.
#[derive(Default)]
struct Pair {
    data: Option<StreamId>,
    error: Option<StreamId>,
    port: u16,
}

/// A connection to a port.
struct Connection {
    /// Where the client's data goes; dropped, the port is told that no more comes.
    input: Option<Inlet>,
    error: StreamId,
    task: AbortHandle,
}

/// The connections of one client.
struct Forwarder {
    address: String,
    sender: Sender,
    pairs: BTreeMap<String, Pair>,
    /// By their data streams.
    connections: BTreeMap<StreamId, Connection>,
    /// They give their data streams when they end, and end with the client.
    tasks: JoinSet<StreamId>,
}

/// Forwards connections to a pod until the client goes.
pub(super) async fn serve(address: String, sender: Sender, mut receiver: Receiver) {
    let mut forwarder =
        Forwarder { address, sender, pairs: BTreeMap::new(), connections: BTreeMap::new(), tasks: JoinSet::new() };
    loop {
        tokio::select! {
            event = receiver.next() => match event {
                Some(event) => forwarder.take(event).await,
                None => return,
            },
            Some(ended) = forwarder.tasks.join_next() => drop(ended.map(|data| forwarder.connections.remove(&data))),
        }
    }
}

impl Forwarder {
    async fn take(&mut self, event: Event) {
        match event {
            Event::Opened(stream, headers) => self.open(stream, &headers).await,
            Event::Data(stream, bytes) => {
                let Some(connection) = self.connections.get_mut(&stream) else { return };
                let Some(input) = &connection.input else { return };
                if !input.put(bytes).await {
                    connection.input = None;
                }
            }
            // A client that will not write on the error stream finishes it before it opens the other.
            Event::Finished(stream) => {
                if let Some(connection) = self.connections.get_mut(&stream) {
                    connection.input = None;
                }
            }
            Event::Reset(stream) => self.give_up(stream).await,
        }
    }

    /// Ends the connection of a data stream that the client has given up, or forgets the half of a pair.
    async fn give_up(&mut self, stream: StreamId) {
        self.pairs.retain(|_, pair| pair.data != Some(stream) && pair.error != Some(stream));
        if let Some(connection) = self.connections.remove(&stream) {
            connection.task.abort();
            // The client waits for what went wrong until it is told that nothing more comes.
            self.sender.finish(connection.error).await;
        }
    }

    /// Takes one stream of a pair, and begins to forward with the second.
    async fn open(&mut self, stream: StreamId, headers: &Headers) {
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        let (request, kind) = (header("requestid"), header("streamtype"));
        let port = header("port").parse().ok();
        let port = port.filter(|_| matches!(kind, "data" | "error") && request.len() <= REQUEST_BYTES_MAX);
        let Some(port) = port else {
            self.sender.reset(stream).await;
            return;
        };
        let pair = self.pairs.entry(request.to_owned()).or_default();
        pair.port = port;
        let half = if kind == "data" { &mut pair.data } else { &mut pair.error };
        let replaced = half.replace(stream);
        if let Pair { data: Some(data), error: Some(error), port } = *pair {
            self.pairs.remove(request);
            self.connect(port, data, error);
        }
        if let Some(replaced) = replaced {
            self.sender.reset(replaced).await;
        }
    }

    fn connect(&mut self, port: u16, data: StreamId, error: StreamId) {
        let (input, waiting) = pipe(WAITING_BYTES_MAX);
        let (address, sender) = (self.address.clone(), self.sender.clone());
        let task = self.tasks.spawn(async move {
            if let Err(why) = forward(&address, port, data, &sender, waiting).await {
                sender.send(error, why.into()).await;
            }
            sender.finish(data).await;
            sender.finish(error).await;
            data
        });
        self.connections.insert(data, Connection { input: Some(input), error, task });
    }
}

/// Carries one connection until both its ends are done.
async fn forward(address: &str, port: u16, data: StreamId, sender: &Sender, waiting: Outlet) -> Result<(), String> {
    let connected = TcpStream::connect((address, port)).await;
    let stream = connected.map_err(|error| format!("failed to connect to port {port} of the pod: {error}"))?;
    let (reader, writer) = stream.into_split();
    // Once the port has said all, nobody reads any more what the client may still send.
    tokio::select! {
        () = read(reader, data, sender) => Ok(()),
        never = write(writer, waiting) => match never {},
    }
}

/// Writes what comes, and then leaves the other direction alone.
async fn write(mut writer: OwnedWriteHalf, mut waiting: Outlet) -> std::convert::Infallible {
    while let Some(bytes) = waiting.take().await {
        if writer.write_all(&bytes).await.is_err() {
            break;
        }
    }
    drop(waiting);
    let _ = writer.shutdown().await;
    std::future::pending().await
}

async fn read(mut reader: OwnedReadHalf, data: StreamId, sender: &Sender) {
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(READ_BYTES);
        match reader.read_buf(&mut bytes).await {
            Ok(count) if count > 0 && sender.send(data, bytes.split().freeze()).await => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::super::spdy::client::Client;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A client that forwards, and the port it forwards to.
    async fn forwarded() -> (Client, TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (client, sender, receiver) = Client::connect();
        tokio::spawn(serve("127.0.0.1".to_owned(), sender, receiver));
        (client, listener, port)
    }

    async fn open(client: &mut Client, stream: StreamId, kind: &str, request: &str, port: u16) {
        client.open(stream, &[("streamtype", kind), ("requestid", request), ("port", &port.to_string())]).await;
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_stream_and_with_its_client() {
        for leaves in [false, true] {
            let (mut client, listener, port) = forwarded().await;
            open(&mut client, 1, "error", "0", port).await;
            client.finish(1).await;
            open(&mut client, 3, "data", "0", port).await;
            client.data(3, Bytes::from_static(b"hi")).await;
            let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
            stream.read_exact(&mut [0; 2]).await.unwrap();
            if leaves {
                drop(client);
            } else {
                client.reset(3).await;
                assert_eq!(
                    timeout(PATIENCE, client.next()).await.unwrap(),
                    Some(Event::Finished(1)),
                    "nothing went wrong"
                );
            }
            let ended = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("the connection ends");
            assert!(matches!(ended, Ok(0) | Err(_)));
        }
    }

    #[tokio::test]
    async fn halves_of_pairs_that_lead_nowhere_are_not_kept() {
        let (_client, sender, _receiver) = Client::connect();
        let mut forwarder = Forwarder {
            address: String::new(),
            sender,
            pairs: BTreeMap::new(),
            connections: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        let long = "1".repeat(REQUEST_BYTES_MAX + 1);
        for (stream, kind, request) in
            [(1, "other", "0"), (3, "data", long.as_str()), (5, "data", "1"), (7, "error", "2")]
        {
            let headers = [("streamtype", kind), ("requestid", request), ("port", "80")];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            forwarder.take(Event::Opened(stream, headers)).await;
            forwarder.take(Event::Reset(stream)).await;
            assert!(forwarder.pairs.is_empty(), "{kind} {request}");
        }
    }
}
