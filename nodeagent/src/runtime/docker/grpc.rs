//! Asks a server whether it serves, in gRPC's health checking protocol: one message each way, small enough to be written and
//! read by hand.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Bytes of an answer read at most.
const READ_BYTES: usize = 10 * 1024;
/// The longest name of a service: what fits a length of one byte.
const SERVICE_BYTES_MAX: usize = 127;
/// Before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// The field that holds the service that is asked for, and the one that holds the answer.
const SERVICE_FIELD: u8 = 0x0a;
const STATUS_FIELD: u8 = 0x08;
/// What a server may say of itself, by number.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: usize = 1;

/// Whether the service serves; why not otherwise.
pub(super) async fn check(host: &str, port: u16, service: &str) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("error: health rpc probe failed: {error}");
    let question = question(service).ok_or_else(|| failed(&"the name of the service is too long"))?;
    let stream = TcpStream::connect((host, port)).await.map_err(|error| {
        format!("error: failed to connect service \"{host}:{port}\": dial tcp {host}:{port}: connect: {error}")
    })?;
    let connected = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.map_err(|error| failed(&error))?;
    let driver = tokio::spawn(connection);
    let request = Request::post(format!("http://{host}:{port}/grpc.health.v1.Health/Check"))
        .header("Content-Type", "application/grpc")
        .header("TE", "trailers")
        .header("User-Agent", "kube-probe/1.35")
        .body(Full::new(question))
        .map_err(|error| failed(&error))?;
    let answered = async {
        let (parts, body) = sender.send_request(request).await.map_err(|error| failed(&error))?.into_parts();
        let body = Limited::new(body, READ_BYTES).collect().await.map_err(|error| failed(&error))?;
        let trailers = body.trailers().unwrap_or(&parts.headers);
        refused(trailers).map_or(Ok(()), Err)?;
        verdict(&body.to_bytes())
    };
    let answered = answered.await;
    driver.abort();
    answered
}

/// The message that asks for a service.
fn question(service: &str) -> Option<Bytes> {
    let length = u8::try_from(service.len()).ok().filter(|_| service.len() <= SERVICE_BYTES_MAX)?;
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_slice(&[SERVICE_FIELD, length]);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::from(&[0, 0, 0, 0, u8::try_from(message.len()).ok()?][..]);
    framed.unsplit(message);
    Some(framed.freeze())
}

/// Why the server does not answer the question, in its own words.
fn refused(trailers: &HeaderMap) -> Option<String> {
    let told = |name| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match told("grpc-status") {
        "0" => None,
        code => Some(format!("rpc error: code = {code} desc = {}", told("grpc-message"))),
    }
}

/// What the answer says. Numbers are left out where they are nought.
fn verdict(answer: &[u8]) -> Result<(), String> {
    let status = match answer.get(PREFIX_BYTES..) {
        Some([STATUS_FIELD, number, ..]) => usize::from(*number),
        _ => 0,
    };
    match status {
        SERVING => Ok(()),
        other => Err(format!(
            "service unhealthy (responded with {:?})",
            STATUSES.get(other).copied().unwrap_or("an answer nobody knows")
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::{Frame, Incoming};
    use hyper::service::service_fn;
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers as told, and tells what it was asked.
    async fn asked(service: &str, status: u8, code: &'static str) -> (Result<(), String>, Bytes) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, hear) = tokio::sync::oneshot::channel();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let told = std::sync::Mutex::new(Some(told));
            let answer = service_fn(|request: Request<Incoming>| {
                let told = told.lock().unwrap().take();
                async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    told.into_iter().for_each(|told| told.send(body.clone()).unwrap());
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", code.parse().unwrap());
                    let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, STATUS_FIELD, status]);
                    let frames = [Ok::<_, Infallible>(Frame::data(message)), Ok(Frame::trailers(trailers))];
                    Ok::<_, Infallible>(Response::new(StreamBody::new(futures::stream::iter(frames))))
                }
            });
            let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = served.serve_connection(TokioIo::new(stream), answer).await;
        });
        let verdict = check("127.0.0.1", port, service).await;
        let heard = hear.await.unwrap();
        serving.abort();
        (verdict, heard)
    }

    #[tokio::test]
    async fn a_server_is_asked_for_a_service_and_believed() {
        let (verdict, heard) = asked("", 1, "0").await;
        assert_eq!((verdict, &heard[..]), (Ok(()), &[0, 0, 0, 0, 0][..]));
        let (verdict, heard) = asked("web", 2, "0").await;
        assert_eq!(verdict.unwrap_err(), "service unhealthy (responded with \"NOT_SERVING\")");
        assert_eq!(&heard[..], [&[0, 0, 0, 0, 5, SERVICE_FIELD, 3], "web".as_bytes()].concat());
        assert_eq!(asked("", 1, "12").await.0.unwrap_err(), "rpc error: code = 12 desc = ");
    }

    #[tokio::test]
    async fn who_is_not_there_does_not_serve() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let why = check("127.0.0.1", port, "").await.unwrap_err();
        assert!(why.contains("failed to connect service"), "{why}");
    }
}
