//! The streams of a command as numbered channels, whatever carries them.
//!
//! Over a WebSocket the first byte of each message names its channel (`v4.channel.k8s.io` and `v5.channel.k8s.io`; the
//! latter can also close a channel from the client's side). Over SPDY each channel is a stream, named by its headers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::handshake::{Connection, Ending, Socket};
use super::spdy::{self, Event, StreamId};

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

/// The channels by what a stream of SPDY calls itself.
const STREAM_TYPES: [(&str, u8); 5] =
    [("stdin", STDIN), ("stdout", STDOUT), ("stderr", STDERR), ("error", ERROR), ("resize", RESIZE)];
/// The most a client may send before it has opened the streams it asked for, in bytes, and what each piece counts besides.
const EARLY_BYTES_MAX: usize = 1 << 20;
const PIECE_COST_BYTES: usize = 64;
/// How long a client may take to open the streams it asked for.
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to go once it has been told all.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent to the client.
pub(super) enum Sender {
    /// As messages.
    Socket(SplitSink<Socket, Message>, Ending),
    /// On streams, by channel.
    Spdy(spdy::Sender, BTreeMap<u8, StreamId>),
}

/// What the client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes on a channel.
    Data(u8, Bytes),
    /// The client will send no more on this channel.
    Closed(u8),
}

impl Received {
    /// What it takes to keep it, in bytes.
    fn cost_bytes(&self) -> usize {
        match self {
            Self::Data(_, bytes) => bytes.len() + PIECE_COST_BYTES,
            Self::Closed(_) => PIECE_COST_BYTES,
        }
    }
}

/// What comes from the client.
pub(super) enum Receiver {
    /// As messages.
    Socket(SplitStream<Socket>),
    /// On streams, whose channels are known.
    Spdy { receiver: spdy::Receiver, channels: BTreeMap<StreamId, u8>, waiting: VecDeque<Received> },
}

/// The two directions of a client. `wanted` are the channels it asked for; nothing where it does not open them.
pub(super) async fn channels(connection: Connection, wanted: &[u8]) -> Option<(Sender, Receiver)> {
    match connection {
        Connection::Socket(socket, ending) => {
            let (sink, stream) = (*socket).split();
            Some((Sender::Socket(sink, ending), Receiver::Socket(stream)))
        }
        Connection::Spdy(sender, receiver) => timeout(OPENING_TIMEOUT, opened(sender, receiver, wanted)).await.ok()?,
    }
}

/// Waits until the client has opened a stream for each channel; nothing where it does not, or sends too much before.
async fn opened(sender: spdy::Sender, mut receiver: spdy::Receiver, wanted: &[u8]) -> Option<(Sender, Receiver)> {
    let (mut streams, mut channels, mut waiting) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
    let mut early_bytes = 0;
    while !wanted.iter().all(|channel| streams.contains_key(channel)) {
        match receiver.next().await? {
            Event::Opened(stream, headers) => {
                let named = headers.get("streamtype").map(String::as_str).unwrap_or_default();
                match STREAM_TYPES.into_iter().find(|(name, _)| *name == named) {
                    Some((_, channel)) => {
                        streams.insert(channel, stream);
                        channels.insert(stream, channel);
                    }
                    None => drop(sender.reset(stream).await),
                }
            }
            Event::Reset(stream) => {
                channels.remove(&stream);
                streams.retain(|_, known| *known != stream);
            }
            other => {
                let received = received(&channels, other);
                early_bytes += received.as_ref().map_or(0, Received::cost_bytes);
                if early_bytes > EARLY_BYTES_MAX {
                    sender.go_away().await;
                    return None;
                }
                waiting.extend(received);
            }
        }
    }
    Some((Sender::Spdy(sender, streams), Receiver::Spdy { receiver, channels, waiting }))
}

/// What an event on a stream means for its channel.
fn received(channels: &BTreeMap<StreamId, u8>, event: Event) -> Option<Received> {
    match event {
        Event::Data(stream, bytes) => Some(Received::Data(*channels.get(&stream)?, bytes)),
        Event::Finished(stream) | Event::Reset(stream) => Some(Received::Closed(*channels.get(&stream)?)),
        Event::Opened(..) => None,
    }
}

impl Sender {
    /// Sends bytes on a channel. False when the client is gone.
    pub(super) async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        match self {
            Self::Socket(sink, _) => {
                let mut message = BytesMut::with_capacity(bytes.len() + 1);
                message.put_u8(channel);
                message.put_slice(bytes);
                sink.send(Message::Binary(message.freeze())).await.is_ok()
            }
            Self::Spdy(sender, streams) => match streams.get(&channel) {
                Some(stream) => sender.send(*stream, Bytes::copy_from_slice(bytes)).await,
                None => true,
            },
        }
    }

    /// Tells how the command ended, and closes.
    pub(super) async fn finish(mut self, ended: Result<i64, String>) {
        let told = match self {
            Self::Socket(_, Ending::Words) => in_words(ended),
            _ => Some(as_status(ended)),
        };
        if let Some(told) = told {
            self.send(ERROR, told.as_bytes()).await;
        }
        self.close().await;
    }

    /// Closes the connection. kubectl takes a close without the normal code for a broken connection.
    pub(super) async fn close(self) {
        match self {
            Self::Socket(mut sink, _) => {
                let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
                let _ = sink.send(Message::Close(Some(normal))).await;
                let _ = sink.close().await;
            }
            Self::Spdy(sender, streams) => {
                for stream in streams.into_values() {
                    sender.finish(stream).await;
                }
                sender.go_away().await;
            }
        }
    }
}

fn as_status(ended: Result<i64, String>) -> String {
    let status = match ended {
        Ok(0) => json!({ "metadata": {}, "status": "Success" }),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": non_zero(code),
            "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        }),
        Err(message) => json!({
            "metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500,
        }),
    };
    status.to_string()
}

fn in_words(ended: Result<i64, String>) -> Option<String> {
    match ended {
        Ok(0) => None,
        Ok(code) => Some(non_zero(code)),
        Err(message) => Some(message),
    }
}

fn non_zero(code: i64) -> String {
    format!("command terminated with non-zero exit code: command terminated with exit code {code}")
}

impl Receiver {
    /// What the client sends next; nothing when it is gone.
    pub(super) async fn next(&mut self) -> Option<Received> {
        match self {
            Self::Socket(stream) => next_message(stream).await,
            Self::Spdy { receiver, channels, waiting } => loop {
                if let Some(first) = waiting.pop_front() {
                    return Some(first);
                }
                if let Some(next) = received(channels, receiver.next().await?) {
                    return Some(next);
                }
            },
        }
    }

    /// Waits until the client, told all, goes. Streams of SPDY that are not read to their end are lost when the connection
    /// closes under them.
    pub(super) async fn until_gone(mut self) {
        let gone = async { while self.next().await.is_some() {} };
        let _ = timeout(LEAVING_TIMEOUT, gone).await;
    }
}

async fn next_message(stream: &mut SplitStream<Socket>) -> Option<Received> {
    loop {
        let bytes = match stream.next().await? {
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

    #[tokio::test]
    async fn what_comes_before_the_streams_are_open_is_kept_up_to_a_limit() {
        for (bytes, expect) in [(EARLY_BYTES_MAX / 2, true), (EARLY_BYTES_MAX * 2, false)] {
            let (mut client, sender, receiver) = spdy::client::Client::connect();
            let opening = tokio::spawn(channels(Connection::Spdy(sender, receiver), &[STDIN, ERROR]));
            client.open(1, &[("streamtype", "stdin")]).await;
            let piece = Bytes::from(vec![0; 32 << 10]);
            for _ in 0..bytes / piece.len() {
                client.data(1, piece.clone()).await;
            }
            client.open(3, &[("streamtype", "error")]).await;
            let opened = timeout(OPENING_TIMEOUT / 2, opening).await.expect("no wait for the timeout").unwrap();
            assert_eq!(opened.is_some(), expect, "{bytes} bytes");
        }
    }
}
