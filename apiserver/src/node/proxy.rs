//! Requests passed on to a node, and their answers passed back, without looking at the bytes between.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use sampan_core::status::Status;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::io::InspectReader;

use super::NodeConnector;
use crate::response::{Body, Response};
use crate::state::State;

/// The longest a node may take to be reached and to begin its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream may be silent both ways: as long as a kubelet keeps one.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_hours(4);
/// The longest refusal read from a node, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Asks a node and passes its answer on as it comes.
///
/// # Errors
/// When the node cannot be reached, or refuses: its words are kept.
pub(crate) async fn forward(nodes: &dyn NodeConnector, node: &str, uri: &str) -> Result<Response, Status> {
    let answer = ask(nodes, node, uri, &HeaderMap::new()).await?;
    if !answer.status().is_success() {
        return Err(refusal(answer).await);
    }
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(Body::Forwarded(body));
    let content_type = parts.headers.get(CONTENT_TYPE).cloned();
    let content_type = content_type.unwrap_or(HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

/// Asks a node to speak another protocol with the client, and from then on carries bytes between them, until both are
/// done, neither has said anything for long, or the server shuts down.
///
/// # Errors
/// When the client does not ask for another protocol, there are too many such streams, or the node cannot be reached or
/// refuses.
pub(crate) async fn upgrade(
    state: &State,
    node: &str,
    uri: &str,
    client: (Parts, Incoming),
) -> Result<Response, Status> {
    let (parts, body) = client;
    if !parts.headers.contains_key(UPGRADE) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let slot = state.streams.clone().try_acquire_owned();
    let slot = slot.map_err(|_| Status::too_many_requests("too many streams to nodes, please try again later"))?;
    let mut answer = ask(&*state.nodes, node, uri, &parts.headers).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(answer).await);
    }
    let node_side = hyper::upgrade::on(&mut answer);
    let client_side = hyper::upgrade::on(Request::from_parts(parts, body));
    let shutdown = state.shutdown.clone();
    tokio::spawn(async move {
        let carried = async {
            let Ok((client, node)) = tokio::try_join!(client_side, node_side) else { return };
            carry(TokioIo::new(client), TokioIo::new(node), IDLE_TIMEOUT).await;
        };
        tokio::select! {
            () = carried => {}
            () = shutdown.cancelled() => {}
        }
        drop(slot);
    });
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = upgrade_headers(answer.headers());
    Ok(response)
}

/// Carries bytes both ways until both sides are done, or neither has said anything for so long.
pub(crate) async fn carry(
    client: impl AsyncRead + AsyncWrite + Unpin,
    node: impl AsyncRead + AsyncWrite + Unpin,
    idle_timeout: Duration,
) {
    let heard = Notify::new();
    let mut client = InspectReader::new(client, |_| heard.notify_one());
    let mut node = InspectReader::new(node, |_| heard.notify_one());
    let idle = async { while timeout(idle_timeout, heard.notified()).await.is_ok() {} };
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut node) => {
            if let Err(error) = copied {
                tracing::debug!(%error, "a stream to a node broke off");
            }
        }
        () = idle => tracing::debug!("a stream to a node was idle for too long"),
    }
}

async fn ask(
    nodes: &dyn NodeConnector,
    node: &str,
    uri: &str,
    headers: &HeaderMap,
) -> Result<hyper::Response<Incoming>, Status> {
    let exchange = async {
        let stream = nodes.connect(node).await.map_err(|error| unreachable(node, &error))?;
        let (mut sender, connection): (SendRequest<Empty<Bytes>>, _) =
            handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(node, &error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a node broke off");
            }
        });
        let mut request = Request::new(Empty::new());
        *request.uri_mut() =
            uri.parse().map_err(|_| Status::bad_request("the request cannot be passed to the node"))?;
        *request.headers_mut() = upgrade_headers(headers);
        request.headers_mut().insert(HOST, HeaderValue::from_static("kubelet"));
        sender.send_request(request).await.map_err(|error| unreachable(node, &error))
    };
    let answered = timeout(ANSWER_TIMEOUT, exchange).await;
    answered.unwrap_or_else(|_| Err(Status::timeout(format!("node {node:?} did not answer in time"))))
}

fn unreachable(node: &str, error: &dyn std::fmt::Display) -> Status {
    Status::internal(format!("error dialing backend: failed to reach node {node:?}: {error}"))
}

/// The headers by which both sides agree on another protocol.
fn upgrade_headers(headers: &HeaderMap) -> HeaderMap {
    let agreed = |name: &HeaderName| {
        *name == CONNECTION
            || *name == UPGRADE
            || name.as_str().starts_with("sec-websocket-")
            || name.as_str() == "x-stream-protocol-version"
    };
    headers.iter().filter(|(name, _)| agreed(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A node's refusal in its own words.
async fn refusal(answer: hyper::Response<Incoming>) -> Status {
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX).collect().await;
    let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned()).unwrap_or_default();
    let told = serde_json::from_str::<serde_json::Value>(&text).ok();
    let told = told.as_ref().and_then(|status| status.get("message")).and_then(serde_json::Value::as_str);
    let message = told.map_or(text.clone(), str::to_owned);
    match code {
        400 => Status::bad_request(message),
        403 => Status::forbidden(message),
        404 => Status { message, ..Status::no_such_path() },
        _ => Status::internal(message),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_stream_on_which_nobody_says_anything_ends() {
        let ((mut client, near), (far, mut node)) = (duplex(64), duplex(64));
        let carried = tokio::spawn(carry(near, far, Duration::from_millis(50)));
        client.write_all(b"hi").await.unwrap();
        node.read_exact(&mut [0; 2]).await.unwrap();
        timeout(Duration::from_secs(20), carried).await.expect("it is silent").unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
