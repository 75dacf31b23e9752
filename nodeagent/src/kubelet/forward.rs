//! `/portForward`: connections to a pod's ports.
//!
//! Over SPDY the client opens streams as it needs them (`tunnel`). Over the channels of a WebSocket there is one connection for
//! each port: port number i of the request has the data channel 2·i and the error channel 2·i + 1. The first message on each is the port
//! itself, two bytes, the lower first.

use std::collections::BTreeMap;

use bytes::BytesMut;
use futures::stream::SelectAll;
use futures::{Stream, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::channel::{Received, Receiver, Sender, channels};
use super::handshake::{Connection, Handshake, Purpose};
use super::query::Query;
use super::{Body, KubeletApi, Refused, tunnel};

/// Bytes read from a port at one time.
const READ_BYTES: usize = 32 * 1024;
/// Ports of one request: channels are one byte, two for each port, the last reserved.
const MOST_PORTS: usize = 120;

impl KubeletApi {
    pub(super) async fn port_forward(
        &self,
        namespace: &str,
        pod: &str,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        self.docker()?;
        let situation = self.pod(namespace, pod).await?;
        let address = situation.sandbox.as_ref().filter(|sandbox| sandbox.running);
        let address = address.and_then(|sandbox| sandbox.address.clone());
        let address = address.ok_or_else(|| Refused::BadRequest(format!("pod \"{pod}\" is not running")))?;
        let handshake = Handshake::of(request, Purpose::Ports)?;
        // Streams of SPDY name their port themselves.
        let ports = if handshake.is_spdy() { Vec::new() } else { ports(query)? };
        Ok(handshake.accept(move |connection| async move {
            match connection {
                Connection::Spdy(sender, receiver) => tunnel::serve(address, sender, receiver).await,
                socket @ Connection::Socket(..) => {
                    if let Some((sender, receiver)) = channels(socket, &[]).await {
                        serve(address, ports, sender, receiver).await;
                    }
                }
            }
        }))
    }
}

fn ports(query: &Query) -> Result<Vec<u16>, Refused> {
    let bad = |text: &str| Refused::BadRequest(format!("{text:?} is not a list of ports"));
    let texts = query.all("ports").into_iter().chain(query.all("port"));
    let mut ports = Vec::new();
    for text in texts {
        for port in text.split(',') {
            ports.push(port.parse().map_err(|_| bad(port))?);
        }
    }
    if ports.is_empty() || ports.len() > MOST_PORTS { Err(bad("")) } else { Ok(ports) }
}

/// The bytes that come from one port, with the channel they belong to.
fn reads(channel: u8, reader: ReadHalf<TcpStream>) -> impl futures::Stream<Item = (u8, BytesMut)> + Send + Unpin {
    Box::pin(futures::stream::unfold(reader, move |mut reader| async move {
        let mut bytes = BytesMut::with_capacity(READ_BYTES);
        match reader.read_buf(&mut bytes).await {
            Ok(count) if count > 0 => Some(((channel, bytes), reader)),
            _ => None,
        }
    }))
}

async fn serve(address: String, ports: Vec<u16>, mut sender: Sender, mut receiver: Receiver) {
    let mut writers: BTreeMap<u8, WriteHalf<TcpStream>> = BTreeMap::new();
    let mut readers = SelectAll::new();
    for (port, index) in ports.iter().zip(0u8..) {
        let (data, errors) = (index * 2, index * 2 + 1);
        let number = port.to_le_bytes();
        sender.send(data, &number).await;
        sender.send(errors, &number).await;
        match TcpStream::connect((address.as_str(), *port)).await {
            Ok(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                writers.insert(data, writer);
                readers.push(reads(data, reader));
            }
            Err(error) => {
                let message = format!("failed to connect to port {port} of the pod: {error}");
                sender.send(errors, message.as_bytes()).await;
            }
        }
    }
    // Neither way waits for the other: a port that does not read may be waiting for what it says to be taken.
    tokio::select! {
        () = show(readers, &mut sender) => {}
        () = listen(writers, &mut receiver) => {}
    }
    sender.close().await;
}

/// Passes on what the ports say until they have said all or nobody takes it.
async fn show(mut readers: SelectAll<impl Stream<Item = (u8, BytesMut)> + Unpin>, sender: &mut Sender) {
    while let Some((channel, bytes)) = readers.next().await {
        if !sender.send(channel, &bytes).await {
            return;
        }
    }
}

/// Writes to the ports what the client sends until it goes.
async fn listen(mut writers: BTreeMap<u8, WriteHalf<TcpStream>>, receiver: &mut Receiver) {
    while let Some(received) = receiver.next().await {
        match received {
            Received::Data(channel, bytes) => {
                let Some(writer) = writers.get_mut(&channel) else { continue };
                if writer.write_all(&bytes).await.is_err() {
                    writers.remove(&channel);
                }
            }
            Received::Closed(channel) => {
                if let Some(mut writer) = writers.remove(&channel) {
                    let _ = writer.shutdown().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::super::spdy::client::Client;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    /// More than the buffers of a connection hold both ways.
    const LOAD_BYTES: usize = 24 << 20;

    #[tokio::test]
    async fn a_port_that_says_all_before_it_reads_does_not_hold_up_its_client() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let talker = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&vec![1; LOAD_BYTES]).await.unwrap();
            let mut heard = Vec::new();
            stream.take(LOAD_BYTES as u64).read_to_end(&mut heard).await.unwrap();
            heard.len()
        });
        let (mut client, sender, receiver) = Client::connect();
        client.open(1, &[]).await;
        client.open(3, &[]).await;
        let receiver = Receiver::Spdy { receiver, channels: [(1, 0), (3, 1)].into(), waiting: VecDeque::new() };
        let sender = Sender::Spdy(sender, [(0, 1), (1, 3)].into());
        tokio::spawn(serve("127.0.0.1".to_owned(), vec![port], sender, receiver));
        let (giver, told) = client.halves();
        let number = size_of::<u16>();
        let both = async { tokio::join!(giver.give(1, LOAD_BYTES), told.count(1, LOAD_BYTES + number)) };
        let ((), count) = timeout(PATIENCE, both).await.expect("both ways go on");
        assert_eq!((count, talker.await.unwrap()), (LOAD_BYTES + number, LOAD_BYTES));
    }
}
