//! `/containerLogs`: what a container wrote, and goes on writing.

use std::io;

use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio_tungstenite::tungstenite::Message;

use super::handshake::{Connection, Handshake, Purpose};
use super::query::Query;
use super::{Body, KubeletApi, Refused};
use crate::pod::{ContainerRecord, Situation};

impl KubeletApi {
    pub(super) async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let docker = self.docker()?;
        let situation = self.pod(namespace, pod).await?;
        let run = chosen(&situation, pod, container, query.flag(&["previous"]))?;
        let limit = query.count("limitBytes")?.map(|limit| usize::try_from(limit).unwrap_or(0));
        let chunks = docker.client().logs(&run.id, Some(options(query)?));
        let chunks = chunks.map_ok(bollard::container::LogOutput::into_bytes).map_err(io::Error::other);
        let mut left = limit.unwrap_or(usize::MAX);
        let limited = chunks.map_ok(move |chunk| {
            let kept = chunk.slice(..chunk.len().min(left));
            left -= kept.len();
            (kept, left)
        });
        // The stream ends with the chunk that reaches the limit, not with the one after it.
        let bytes = limited.scan(false, |full, item| {
            let last = std::mem::replace(full, matches!(&item, Ok((_, 0))));
            futures::future::ready((!last).then(|| item.map(|(chunk, _)| chunk)))
        });
        if request.headers().contains_key("Upgrade") {
            let handshake = Handshake::of(request, Purpose::Log)?;
            return Ok(handshake.accept(async |connection| send(connection, bytes).await));
        }
        let frames = bytes.map_ok(|chunk: Bytes| Frame::data(chunk));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert("Content-Type", http::HeaderValue::from_static("text/plain"));
        Ok(response)
    }
}

/// Sends a log as the messages of a WebSocket, for as long as the client takes them.
async fn send(connection: Connection, mut bytes: impl Stream<Item = io::Result<Bytes>> + Unpin + Send) {
    let Connection::Socket(socket, _) = connection else { return };
    let mut socket = *socket;
    while let Some(Ok(chunk)) = bytes.next().await {
        if socket.send(Message::Binary(chunk)).await.is_err() {
            return;
        }
    }
    let _ = socket.close(None).await;
}

/// The run whose log is asked for.
fn chosen<'a>(
    situation: &'a Situation,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<&'a ContainerRecord, Refused> {
    if situation.container(container).is_none() {
        return Err(Refused::NoContainer(pod.to_owned(), container.to_owned()));
    }
    let newest = situation.latest(container);
    if previous {
        // A container that crashed and waits to be restarted is its own previous run, as in Kubernetes.
        let waiting = newest.filter(|run| run.exit().is_some() && is_waiting(situation, container));
        let earlier = waiting.or_else(|| situation.previous(container));
        return earlier.ok_or_else(|| Refused::NoPrevious(pod.to_owned(), container.to_owned()));
    }
    let started = newest.filter(|run| run.started_at.is_some());
    started.ok_or_else(|| {
        let reason = waiting_reason(situation, container).unwrap_or_else(|| "ContainerCreating".to_owned());
        Refused::Waiting(pod.to_owned(), container.to_owned(), reason)
    })
}

fn is_waiting(situation: &Situation, container: &str) -> bool {
    waiting_reason(situation, container).is_some()
}

fn waiting_reason(situation: &Situation, container: &str) -> Option<String> {
    let status = situation.status();
    let statuses = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let named = statuses.into_iter().find(|status| status.name == container)?;
    named.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

fn options(query: &Query) -> Result<LogsOptions, Refused> {
    let mut options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .follow(query.flag(&["follow"]))
        .timestamps(query.flag(&["timestamps"]));
    if let Some(lines) = query.count("tailLines")? {
        options = options.tail(&lines.to_string());
    }
    let since = match (query.count("sinceSeconds")?, query.time("sinceTime")?) {
        (Some(seconds), _) => Some(crate::shell::now().as_second().saturating_sub(seconds)),
        (None, Some(time)) => Some(time.as_second()),
        (None, None) => None,
    };
    if let Some(since) = since.and_then(|since| i32::try_from(since).ok()) {
        options = options.since(since.max(1));
    }
    Ok(options.build())
}
