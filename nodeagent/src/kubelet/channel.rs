//! Streams multiplexed over one WebSocket: the first byte of each message names its channel.
//!
//! The subprotocols `v4.channel.k8s.io` and `v5.channel.k8s.io`; the latter can also close a channel from the client's side.

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Body, Refused, full};

/// The client's input.
pub(super) const STDIN: u8 = 0;
/// The command's output.
pub(super) const STDOUT: u8 = 1;
/// The command's errors.
pub(super) const STDERR: u8 = 2;
/// How it ended.
pub(super) const ERROR: u8 = 3;
/// The terminal's size.
pub(super) const RESIZE: u8 = 4;
/// A channel is closed; which one follows.
const CLOSE: u8 = 255;

/// What the two ends may speak, the better first.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A request that asks to become a WebSocket.
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    response: Response<Body>,
}

impl Handshake {
    /// Reads the request's headers.
    pub(super) fn of(request: Request<Incoming>) -> Result<Self, Refused> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let bad = |message: &str| Refused::BadRequest(message.to_owned());
        if !header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
            return Err(bad("this stream is served as a WebSocket only"));
        }
        let key = header("Sec-WebSocket-Key").ok_or_else(|| bad("Sec-WebSocket-Key is missing"))?;
        let offered = request.headers().get_all("Sec-WebSocket-Protocol");
        let offered: Vec<&str> = offered.iter().filter_map(|value| value.to_str().ok()).collect();
        let offered: Vec<&str> = offered.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
        let chosen = PROTOCOLS.into_iter().find(|protocol| offered.contains(protocol));
        let chosen = chosen.ok_or_else(|| bad(&format!("none of {offered:?} is spoken here, only {PROTOCOLS:?}")))?;
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()))
            .header("Sec-WebSocket-Protocol", chosen)
            .body(full(String::new()))
            .map_err(|error| bad(&error.to_string()))?;
        Ok(Self { upgrade: hyper::upgrade::on(request), response })
    }

    /// Answers, and hands the channels over once the other end has switched.
    pub(super) fn accept<F>(self, serve: impl FnOnce(Sender, Receiver) -> F + Send + 'static) -> Response<Body>
    where
        F: Future<Output = ()> + Send,
    {
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                    let (sink, stream) = socket.split();
                    serve(Sender { sink }, Receiver { stream }).await;
                }
                Err(error) => tracing::debug!(%error, "a stream was not upgraded"),
            }
        });
        self.response
    }
}

/// What is sent to the client.
pub(super) struct Sender {
    sink: SplitSink<Socket, Message>,
}

/// What the client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes on a channel.
    Data(u8, Bytes),
    /// The client will send no more on this channel.
    Closed(u8),
}

/// What comes from the client.
pub(super) struct Receiver {
    stream: SplitStream<Socket>,
}

impl Sender {
    /// Sends bytes on a channel. False when the client is gone.
    pub(super) async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.put_u8(channel);
        message.put_slice(bytes);
        self.sink.send(Message::Binary(message.freeze())).await.is_ok()
    }

    /// Tells how the command ended, and closes.
    pub(super) async fn finish(mut self, ended: Result<i64, String>) {
        let status = match ended {
            Ok(0) => json!({ "metadata": {}, "status": "Success" }),
            Ok(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Err(message) => json!({
                "metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500,
            }),
        };
        self.send(ERROR, status.to_string().as_bytes()).await;
        self.close().await;
    }

    /// Closes the connection. kubectl takes a close without the normal code for a broken connection.
    pub(super) async fn close(mut self) {
        let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let _ = self.sink.send(Message::Close(Some(normal))).await;
        let _ = self.sink.close().await;
    }
}

impl Receiver {
    /// What the client sends next; nothing when it is gone.
    pub(super) async fn next(&mut self) -> Option<Received> {
        loop {
            let bytes = match self.stream.next().await? {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Text(text)) => Bytes::from(text),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => continue,
            };
            if let Some(received) = parse(bytes) {
                return Some(received);
            }
        }
    }
}

fn parse(mut bytes: Bytes) -> Option<Received> {
    let channel = *bytes.first()?;
    let rest = bytes.split_off(1);
    if channel == CLOSE {
        return rest.first().map(|closed| Received::Closed(*closed));
    }
    Some(Received::Data(channel, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_names_the_channel() {
        assert_eq!(parse(Bytes::from_static(b"\x00hi")), Some(Received::Data(STDIN, Bytes::from_static(b"hi"))));
        assert_eq!(parse(Bytes::from_static(b"\xff\x00")), Some(Received::Closed(STDIN)));
        assert_eq!(parse(Bytes::new()), None);
        assert_eq!(parse(Bytes::from_static(b"\xff")), None);
    }
}
