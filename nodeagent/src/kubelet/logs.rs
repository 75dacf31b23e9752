//! `/containerLogs`: what a container wrote, and goes on writing.

use std::io;

use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt, TryStreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use k8s_openapi::api::core::v1::ContainerStateTerminated;
use tokio::sync::mpsc::Receiver;
use tokio_tungstenite::tungstenite::Message;

use super::handshake::{Connection, Handshake, Purpose};
use super::query::Query;
use super::{Body, KubeletApi, Refused, kept};
use crate::pod::{RunState, Situation, told};

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
        let limit = query.count("limitBytes")?.map(|limit| usize::try_from(limit).unwrap_or(0));
        let chunks = match chosen(&situation, pod, container, query.flag(&["previous"]))? {
            Chosen::Held(id) => {
                let chunks = docker.client().logs(id, Some(options(query)?));
                chunks.map_ok(bollard::container::LogOutput::into_bytes).map_err(io::Error::other).boxed()
            }
            Chosen::Gone(id) => {
                let lines = kept::lines(docker.logs(), id, namespace, pod, query).await?;
                let lines = lines.ok_or_else(|| Refused::NoLog(id.to_owned()))?;
                let one = |mut lines: Receiver<io::Result<Bytes>>| async { Some((lines.recv().await?, lines)) };
                futures::stream::unfold(lines, one).boxed()
            }
        };
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

/// The identifier of a run whose log is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Chosen<'a> {
    /// Docker has it.
    Held(&'a str),
    /// Docker has it no more.
    Gone(&'a str),
}

/// The run whose log is asked for.
fn chosen<'a>(situation: &'a Situation, pod: &str, container: &str, previous: bool) -> Result<Chosen<'a>, Refused> {
    if situation.container(container).is_none() {
        return Err(Refused::NoContainer(pod.to_owned(), container.to_owned()));
    }
    let newest = situation.latest(container);
    if previous {
        // A container that crashed and waits to be restarted is its own previous run, as in Kubernetes.
        let waiting = newest.filter(|run| run.exit().is_some() && is_waiting(situation, container));
        let earlier = waiting.or_else(|| situation.previous(container)).map(|run| Chosen::Held(&run.id));
        let gone = || told_last(situation, container).map(Chosen::Gone);
        return earlier.or_else(gone).ok_or_else(|| Refused::NoPrevious(pod.to_owned(), container.to_owned()));
    }
    // One that was made and has not begun has written nothing: the one before it is asked for.
    let mut runs = situation.containers.get(container).into_iter().flatten();
    if let Some(run) = runs.rfind(|run| run.state != RunState::Created) {
        return Ok(Chosen::Held(&run.id));
    }
    let end = told::end(situation, container).filter(|_| newest.is_none());
    let gone = end.and_then(identifier).or_else(|| told_last(situation, container));
    gone.map(Chosen::Gone).ok_or_else(|| {
        if end.is_some() {
            return Refused::Terminated(pod.to_owned(), container.to_owned());
        }
        let reason = waiting_reason(situation, container).unwrap_or_else(|| "ContainerCreating".to_owned());
        Refused::Waiting(pod.to_owned(), container.to_owned(), reason)
    })
}

/// The run that was told to have ended last, before the one of which there is a state.
fn told_last<'a>(situation: &'a Situation, container: &str) -> Option<&'a str> {
    identifier(told::of(situation, container)?.last_state.as_ref()?.terminated.as_ref()?)
}

fn identifier(end: &ContainerStateTerminated) -> Option<&str> {
    end.container_id.as_deref()?.strip_prefix("docker://")
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::pod::{ContainerRecord, Exit, situation};

    /// A pod of which the runtime holds nothing, and what was told of its container.
    fn pod(state: Value, last_state: Value) -> Situation {
        let status = json!({"name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": state, "lastState": last_state});
        let pod = json!({"metadata": {"name": "job"}, "spec": {"containers": [{"name": "app"}]},
            "status": {"containerStatuses": [status]}});
        Situation::new(Arc::new(serde_json::from_value(pod).unwrap()))
    }

    fn ended(id: &str) -> Value {
        json!({"terminated": {"exitCode": 0, "containerID": format!("docker://{id}")}})
    }

    #[test]
    fn the_log_of_a_container_that_is_gone_is_that_of_the_run_that_was_told_of() {
        let waiting = || json!({"waiting": {"reason": "ContainerCreating"}});
        let unknown = || json!({"terminated": {"exitCode": 137}});
        let check = |state: Value, last_state: Value, previous: bool, expect: Result<&str, &str>| {
            let pod = pod(state, last_state);
            let found = chosen(&pod, "job", "app", previous).map_err(|refused| refused.to_string());
            assert_eq!(found, expect.map(Chosen::Gone).map_err(str::to_owned));
        };
        check(ended("a"), json!({}), false, Ok("a"));
        check(ended("b"), ended("a"), false, Ok("b"));
        check(ended("b"), ended("a"), true, Ok("a"));
        check(waiting(), ended("a"), false, Ok("a"));
        check(
            waiting(),
            json!({}),
            false,
            Err("container \"app\" in pod \"job\" is waiting to start: ContainerCreating"),
        );
        check(unknown(), json!({}), false, Err("container \"app\" in pod \"job\" is terminated"));
        check(ended("a"), json!({}), true, Err("previous terminated container \"app\" in pod \"job\" not found"));
    }

    /// A run in that state.
    fn run(attempt: u32, state: RunState) -> ContainerRecord {
        let started_at = (state != RunState::Created).then_some(Timestamp::UNIX_EPOCH);
        ContainerRecord { started_at, state, ..situation::tests::run(attempt) }
    }

    #[test]
    fn the_log_of_a_container_that_is_about_to_run_again_is_that_of_the_run_before() {
        let crashed = || RunState::Exited(Exit::of(1, Timestamp::UNIX_EPOCH));
        let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
        for told in [pod(ended("0"), json!({})), pod(waiting, ended("0"))] {
            for (next, expect, before) in [(RunState::Created, "0", "0"), (RunState::Running, "1", "0")] {
                let mut pod = told.clone();
                pod.observe(run(0, crashed()));
                pod.observe(run(1, next));
                let found = |previous| chosen(&pod, "job", "app", previous).unwrap();
                assert_eq!((found(false), found(true)), (Chosen::Held(expect), Chosen::Held(before)));
            }
        }
    }
}
