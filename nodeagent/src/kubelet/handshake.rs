//! The switch from HTTP to streams: over a WebSocket, over SPDY/3.1, or over SPDY/3.1 tunnelled through a WebSocket.

use std::io;

use bytes::Bytes;
use futures::{SinkExt, StreamExt, TryStreamExt};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::{Body, Refused, full, spdy};

/// Streams multiplexed over one WebSocket, the better protocol first.
const CHANNELS: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", UNVERSIONED];
/// The first of them: how a command ended is told in words, and only where it failed.
const UNVERSIONED: &str = "channel.k8s.io";
/// Bytes, and nothing else.
const BINARY: &str = "binary.k8s.io";
/// SPDY's bytes as the messages of a WebSocket.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// SPDY as it is.
const SPDY: &str = "SPDY/3.1";

const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const STREAM_PROTOCOL: &str = "X-Stream-Protocol-Version";

/// A WebSocket after the switch.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What the streams are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The streams of a command.
    Command,
    /// Connections to ports.
    Ports,
    /// A container's log.
    Log,
}

impl Purpose {
    fn sockets(self) -> &'static [&'static str] {
        match self {
            Self::Command => &CHANNELS,
            Self::Ports => &[TUNNEL, "v5.channel.k8s.io", "v4.channel.k8s.io"],
            Self::Log => &[BINARY],
        }
    }

    fn stream_protocol(self) -> Option<&'static str> {
        match self {
            Self::Command => Some("v4.channel.k8s.io"),
            Self::Ports => Some("portforward.k8s.io"),
            Self::Log => None,
        }
    }
}

/// The client after the switch.
pub(super) enum Connection {
    /// Speaks by messages of a WebSocket.
    Socket(Box<Socket>, Ending),
    /// Opens streams of SPDY.
    Spdy(spdy::Sender, spdy::Receiver),
}

/// How a client is told how its command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By a `Status`.
    Status,
    /// In words, where it failed.
    Words,
}

/// How the client wants to switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    Socket(Ending),
    Tunnel,
    Spdy,
}

/// A request that asks to switch.
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    response: Response<Body>,
    switch: Switch,
}

impl Handshake {
    /// Reads the request's headers.
    pub(super) fn of(request: Request<Incoming>, purpose: Purpose) -> Result<Self, Refused> {
        let wanted = header(request.headers(), "Upgrade");
        let (switch, response) = match wanted {
            Some(upgrade) if upgrade.eq_ignore_ascii_case("websocket") => socket(request.headers(), purpose)?,
            Some(upgrade) if upgrade.eq_ignore_ascii_case(SPDY) => (Switch::Spdy, spdy(request.headers(), purpose)?),
            _ => return Err(bad(format!("this stream is served over a WebSocket or {SPDY} only"))),
        };
        let response = response
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("Connection", "Upgrade")
            .body(full(String::new()))
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self { upgrade: hyper::upgrade::on(request), response, switch })
    }

    /// Whether the client will open streams of SPDY.
    pub(super) fn is_spdy(&self) -> bool {
        !matches!(self.switch, Switch::Socket(_))
    }

    /// Answers, and hands the client over once it has switched.
    pub(super) fn accept<F>(self, serve: impl FnOnce(Connection) -> F + Send + 'static) -> Response<Body>
    where
        F: Future<Output = ()> + Send,
    {
        let (upgrade, switch) = (self.upgrade, self.switch);
        tokio::spawn(async move {
            let switched = async { connection(switch, upgrade.await.map_err(io::Error::other)?).await };
            match switched.await {
                Ok(connection) => serve(connection).await,
                Err(error) => tracing::debug!(%error, "a stream was not upgraded"),
            }
        });
        self.response
    }
}

async fn connection(switch: Switch, upgraded: Upgraded) -> io::Result<Connection> {
    let stream = TokioIo::new(upgraded);
    let (sender, receiver) = match switch {
        Switch::Socket(ending) => {
            let socket = Socket::from_raw_socket(stream, Role::Server, None).await;
            return Ok(Connection::Socket(Box::new(socket), ending));
        }
        Switch::Tunnel => spdy::serve(tunnel(Socket::from_raw_socket(stream, Role::Server, None).await))?,
        Switch::Spdy => spdy::serve(stream)?,
    };
    Ok(Connection::Spdy(sender, receiver))
}

/// The bytes that the messages of a WebSocket carry.
fn tunnel(socket: Socket) -> impl spdy::Link {
    let (sink, stream) = socket.split();
    let read = stream.map_err(io::Error::other).try_filter_map(async |message| {
        Ok(match message {
            Message::Binary(bytes) => Some(bytes),
            Message::Close(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => None,
        })
    });
    let written =
        sink.sink_map_err(io::Error::other).with(async |bytes: Bytes| Ok::<_, io::Error>(Message::Binary(bytes)));
    tokio::io::join(StreamReader::new(Box::pin(read)), SinkWriter::new(CopyToBytes::new(Box::pin(written))))
}

fn socket(headers: &HeaderMap, purpose: Purpose) -> Result<(Switch, http::response::Builder), Refused> {
    let key = header(headers, "Sec-WebSocket-Key").ok_or_else(|| bad("Sec-WebSocket-Key is missing".to_owned()))?;
    let chosen = chosen(headers, PROTOCOL, purpose.sockets())?;
    let response = Response::builder()
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()))
        .header(PROTOCOL, chosen);
    let switch = match chosen {
        TUNNEL => Switch::Tunnel,
        UNVERSIONED => Switch::Socket(Ending::Words),
        _ => Switch::Socket(Ending::Status),
    };
    Ok((switch, response))
}

fn spdy(headers: &HeaderMap, purpose: Purpose) -> Result<http::response::Builder, Refused> {
    let chosen = chosen(headers, STREAM_PROTOCOL, purpose.stream_protocol().as_slice())?;
    Ok(Response::builder().header("Upgrade", SPDY).header(STREAM_PROTOCOL, chosen))
}

/// The first of the protocols spoken here that the client offers.
fn chosen(headers: &HeaderMap, name: &str, spoken: &[&'static str]) -> Result<&'static str, Refused> {
    let offered = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|value| value.split(',')).map(str::trim).collect();
    let chosen = spoken.iter().copied().find(|protocol| offered.contains(protocol));
    chosen.ok_or_else(|| bad(format!("none of {offered:?} is spoken here, only {spoken:?}")))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn bad(message: String) -> Refused {
    Refused::BadRequest(message)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn offering(name: &'static str, protocols: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(protocols).unwrap());
        headers.insert("Sec-WebSocket-Key", HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers
    }

    #[test]
    fn the_best_protocol_that_both_ends_speak_is_chosen() {
        let check = |purpose: Purpose, offered: &str, expect: Option<Switch>| {
            let found = socket(&offering(PROTOCOL, offered), purpose).ok().map(|(switch, _)| switch);
            assert_eq!(found, expect, "{purpose:?} {offered}");
        };
        check(Purpose::Command, "v4.channel.k8s.io, v5.channel.k8s.io", Some(Switch::Socket(Ending::Status)));
        check(Purpose::Command, "channel.k8s.io", Some(Switch::Socket(Ending::Words)));
        check(Purpose::Command, "channel.k8s.io, v4.channel.k8s.io", Some(Switch::Socket(Ending::Status)));
        check(Purpose::Command, "binary.k8s.io", None);
        check(Purpose::Log, "binary.k8s.io", Some(Switch::Socket(Ending::Status)));
        check(Purpose::Command, TUNNEL, None);
        check(Purpose::Ports, TUNNEL, Some(Switch::Tunnel));
        check(Purpose::Ports, "v4.channel.k8s.io", Some(Switch::Socket(Ending::Status)));
        check(Purpose::Ports, "v9.channel.k8s.io", None);
        assert!(spdy(&offering(STREAM_PROTOCOL, "v5.channel.k8s.io,v4.channel.k8s.io"), Purpose::Command).is_ok());
        assert!(spdy(&offering(STREAM_PROTOCOL, "v1.channel.k8s.io"), Purpose::Ports).is_err());
        assert!(spdy(&offering(STREAM_PROTOCOL, "v4.channel.k8s.io"), Purpose::Log).is_err());
    }
}
