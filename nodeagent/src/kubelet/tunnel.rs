//! Port-forward over SPDY: the client opens a pair of streams for each connection it forwards, as many as it likes.
//!
//! Both streams of a pair carry the same `requestid` and `port`; the data goes over one (`streamtype: data`), what goes wrong
//! is told on the other (`streamtype: error`).

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::spdy::{Event, Headers, Receiver, Sender, StreamId};

/// Bytes read from a port at one time.
const READ_BYTES: usize = 32 << 10;
/// Pieces that wait for a port that reads slowly; then the whole connection waits, as SPDY has it here.
const PIECES_MAX: usize = 16;

/// A pair of streams as it is opened.
#[derive(Default)]
struct Pair {
    data: Option<StreamId>,
    error: Option<StreamId>,
    port: u16,
}

/// The connections of one client.
struct Forwarder {
    address: String,
    sender: Sender,
    pairs: BTreeMap<String, Pair>,
    /// Where the data of a stream goes; closing it tells the port that no more comes.
    ports: BTreeMap<StreamId, mpsc::Sender<Bytes>>,
    /// Streams whose connection has ended.
    ended: (mpsc::UnboundedSender<StreamId>, mpsc::UnboundedReceiver<StreamId>),
}

/// Forwards connections to a pod until the client goes.
pub(super) async fn serve(address: String, sender: Sender, mut receiver: Receiver) {
    let mut forwarder =
        Forwarder { address, sender, pairs: BTreeMap::new(), ports: BTreeMap::new(), ended: mpsc::unbounded_channel() };
    loop {
        tokio::select! {
            event = receiver.next() => match event {
                Some(event) => forwarder.take(event).await,
                None => return,
            },
            ended = forwarder.ended.1.recv() => drop(ended.and_then(|data| forwarder.ports.remove(&data))),
        }
    }
}

impl Forwarder {
    async fn take(&mut self, event: Event) {
        match event {
            Event::Opened(stream, headers) => self.open(stream, &headers).await,
            Event::Data(stream, bytes) => {
                let Some(port) = self.ports.get(&stream) else { return };
                if port.send(bytes).await.is_err() {
                    self.ports.remove(&stream);
                }
            }
            Event::Finished(stream) | Event::Reset(stream) => drop(self.ports.remove(&stream)),
        }
    }

    /// Takes one stream of a pair, and begins to forward with the second.
    async fn open(&mut self, stream: StreamId, headers: &Headers) {
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        let Ok(port) = header("port").parse() else {
            self.sender.reset(stream).await;
            return;
        };
        let request = header("requestid").to_owned();
        let pair = self.pairs.entry(request.clone()).or_default();
        pair.port = port;
        match header("streamtype") {
            "data" => pair.data = Some(stream),
            "error" => pair.error = Some(stream),
            _ => drop(self.sender.reset(stream).await),
        }
        let Pair { data: Some(data), error: Some(error), port } = *pair else { return };
        self.pairs.remove(&request);
        let (to_port, pieces) = mpsc::channel(PIECES_MAX);
        self.ports.insert(data, to_port);
        let (address, sender, ended) = (self.address.clone(), self.sender.clone(), self.ended.0.clone());
        tokio::spawn(async move {
            if let Err(why) = forward(&address, port, data, &sender, pieces).await {
                sender.send(error, why.into()).await;
            }
            sender.finish(data).await;
            sender.finish(error).await;
            let _ = ended.send(data);
        });
    }
}

/// Carries one connection until both its ends are done.
async fn forward(
    address: &str,
    port: u16,
    data: StreamId,
    sender: &Sender,
    pieces: mpsc::Receiver<Bytes>,
) -> Result<(), String> {
    let connected = TcpStream::connect((address, port)).await;
    let stream = connected.map_err(|error| format!("failed to connect to port {port} of the pod: {error}"))?;
    let (reader, writer) = stream.into_split();
    let writing = tokio::spawn(write(writer, pieces));
    read(reader, data, sender).await;
    // Nobody reads any more what the client may still send.
    writing.abort();
    Ok(())
}

async fn write(mut writer: OwnedWriteHalf, mut pieces: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = pieces.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
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
