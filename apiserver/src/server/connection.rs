//! One connection: HTTP/1.1 or HTTP/2, as the client speaks.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use sampan_core::status::Status;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Caller, dispatch};
use crate::response::{self, Body, Response};
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
/// How long a connection is kept on which nothing is asked: as long as Kubernetes keeps one, less before the first request.
const PATIENCE: Patience = Patience { first: HEAD_TIMEOUT, between: Duration::from_secs(90) };
/// What requests under way are given to end when the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// How long a connection is kept on which nothing is asked.
#[derive(Clone, Copy)]
struct Patience {
    /// Before the first request.
    first: Duration,
    /// Between requests.
    between: Duration,
}

/// Answers a connection until it ends, is of no use any more, or the server shuts down.
pub(super) async fn serve<S>(state: Arc<State>, stream: S, caller: Caller)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shutdown = state.shutdown.clone();
    carry(stream, &shutdown, PATIENCE, move |request| answer(state.clone(), caller.clone(), request)).await;
}

async fn carry<S, F>(
    stream: S,
    shutdown: &CancellationToken,
    patience: Patience,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let (requests, under_way) = watch::channel(Requests::default());
    let requests = Arc::new(requests);
    let service = service_fn(|request| {
        let (answered, request_under_way) = (answer(request), UnderWay::begin(&requests));
        async move { Ok::<_, Infallible>(answered.await.map(|body| Counted { body, _request: request_under_way })) }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shutdown.cancelled() => None,
        () = idle(under_way, patience) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(SHUTDOWN_GRACE, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

fn builder() -> Builder<TokioExecutor> {
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
    builder
}

/// The requests of a connection.
#[derive(Default)]
struct Requests {
    begun: u64,
    under_way: usize,
}

/// Ends once no request has been under way for too long.
async fn idle(mut requests: watch::Receiver<Requests>, patience: Patience) {
    let (mut wait, mut seen) = (patience.first, 0);
    while matches!(timeout(wait, requests.wait_for(|requests| requests.begun > seen)).await, Ok(Ok(_))) {
        match requests.wait_for(|requests| requests.under_way == 0).await {
            Ok(requests) => seen = requests.begun,
            Err(_) => return,
        }
        wait = patience.between;
    }
}

/// A request that is under way, until all of its answer is taken.
struct UnderWay(Arc<watch::Sender<Requests>>);

impl UnderWay {
    fn begin(requests: &Arc<watch::Sender<Requests>>) -> Self {
        requests.send_modify(|requests| {
            requests.begun += 1;
            requests.under_way += 1;
        });
        Self(requests.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|requests| requests.under_way -= 1);
    }
}

/// The body of an answer, with the request it belongs to.
struct Counted {
    body: Body,
    _request: UnderWay,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The answer to one request, whatever happens: a panic is a fault of ours, and it is this request's alone.
async fn answer(state: Arc<State>, caller: Caller, request: Request<Incoming>) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = AssertUnwindSafe(dispatch::answer(state, caller, request)).catch_unwind().await;
    answered.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        tracing::error!(%method, path, panic = text.unwrap_or("unknown"), "a request handler panicked");
        response::refusal(&Status::internal("the server met a fault of its own; its log has more"))
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);
    const DEADLINE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_connection_on_which_nothing_is_asked_is_closed() {
        let http2 = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        let asked = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
        let cases: [(&str, &[u8], Patience); 4] = [
            ("silent", b"", Patience { first: SHORT, between: LONG }),
            ("a first byte", b"P", Patience { first: SHORT, between: LONG }),
            ("HTTP/2 without a request", &http2, Patience { first: SHORT, between: LONG }),
            ("idle after a request", asked, Patience { first: LONG, between: SHORT }),
        ];
        for (what, sent, patience) in cases {
            let (mut ours, theirs) = duplex(1 << 10);
            let shutdown = CancellationToken::new();
            let served = carry(theirs, &shutdown, patience, async |_| Response::new(Body::Empty));
            ours.write_all(sent).await.unwrap();
            let mut told = Vec::new();
            let both = async { tokio::join!(served, ours.read_to_end(&mut told)) };
            timeout(DEADLINE, both).await.unwrap_or_else(|_| panic!("{what}: it is kept")).1.unwrap();
        }
    }

    #[tokio::test]
    async fn a_request_under_way_keeps_its_connection() {
        let (requests, under_way) = watch::channel(Requests::default());
        let requests = Arc::new(requests);
        let (first, second) = (UnderWay::begin(&requests), UnderWay::begin(&requests));
        let mut idle = pin!(idle(under_way, Patience { first: Duration::ZERO, between: Duration::ZERO }));
        drop(first);
        assert!(timeout(SHORT, idle.as_mut()).await.is_err());
        drop(second);
        timeout(DEADLINE, idle).await.expect("nothing is under way");
    }
}
