//! One connection: HTTP/1.1 or HTTP/2, as the client speaks.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use sampan_core::status::Status;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Caller, dispatch};
use crate::response::{self, Response};
use crate::state::State;

/// The longest a client may take over the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a request, and the most an answer is read ahead of the client, in bytes.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// Requests at once over one HTTP/2 connection; clients such as informers hold a watch per resource type.
const STREAMS_MAX: u32 = 250;
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What requests under way are given to end when the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Answers a connection until it ends or the server shuts down.
pub(super) async fn serve<S>(state: Arc<State>, stream: S, caller: Caller)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(state.clone(), caller.clone(), request));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(BUFFER_BYTES_MAX as u32);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = state.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(SHUTDOWN_GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// The answer to one request, whatever happens: a panic is a fault of ours, and it is this request's alone.
async fn answer(state: Arc<State>, caller: Caller, request: Request<Incoming>) -> Result<Response, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = AssertUnwindSafe(dispatch::answer(state, caller, request)).catch_unwind().await;
    Ok(answered.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        tracing::error!(%method, path, panic = text.unwrap_or("unknown"), "a request handler panicked");
        response::refusal(&Status::internal("the server met a fault of its own; its log has more"))
    }))
}
