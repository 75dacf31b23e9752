//! `/logs`: the lines this node collected, also of pods that are gone, one JSON object a line.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use sampan_logs::{Found, Query as Asked, Search, Stream};
use serde::Serialize;
use tokio::sync::mpsc::{self, Sender};

use super::query::Query;
use super::{Body, KubeletApi, Refused, json as answer};
use crate::runtime::docker::Docker;

/// Bytes gathered before they are sent.
const CHUNK_BYTES: usize = 32 << 10;
/// Chunks that may wait for the client. When it does not read, the search waits, and nobody else.
const CHUNKS_WAITING: usize = 4;

/// What is told of a line.
#[derive(Serialize)]
struct Told<'a> {
    /// With nine digits of a second, so that texts order as times do.
    time: String,
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
    attempt: u32,
    node: &'a str,
    stream: Stream,
    sequence: u64,
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    context: bool,
    line: std::borrow::Cow<'a, str>,
}

impl KubeletApi {
    /// The lines asked for by `query`, a [`sampan_logs::Query`] as JSON.
    pub(super) fn search_logs(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let docker = self.docker()?.clone();
        let asked: Asked = serde_json::from_str(query.get("query").unwrap_or("{}"))
            .map_err(|error| Refused::BadRequest(format!("query: {error}")))?;
        let begun = docker.logs().search(&asked, &BTreeMap::new());
        let (search, ends) = begun.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Refused::BadRequest(format!("{error}: {cause}"))
        })?;
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        tokio::spawn(async move {
            if pass_on(search, &sender).await && asked.follow {
                follow(&docker, asked, ends, &sender).await;
            }
        });
        let chunks = futures::stream::unfold(receiver, |mut receiver| async {
            let chunk: Bytes = receiver.recv().await?;
            Some((Ok::<_, io::Error>(Frame::data(chunk)), receiver))
        });
        let mut response = Response::new(StreamBody::new(chunks).boxed_unsync());
        response.headers_mut().insert("Content-Type", HeaderValue::from_static("application/jsonl"));
        Ok(response)
    }

    /// What was collected on this node, and what became of it.
    pub(super) fn log_counts(&self) -> Result<Response<Body>, Refused> {
        Ok(answer(&serde_json::json!({ "node": self.node, "logs": self.docker()?.logs().counts() })))
    }
}

/// Tells lines as they are collected, until the client goes.
async fn follow(docker: &Arc<Docker>, mut asked: Asked, mut ends: BTreeMap<String, u64>, sender: &Sender<Bytes>) {
    asked.tail = None;
    let mut changes = docker.logs().changes();
    changes.mark_changed();
    loop {
        tokio::select! {
            () = sender.closed() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let Ok((search, new_ends)) = docker.logs().search(&asked, &ends) else { return };
        if !pass_on(search, sender).await {
            return;
        }
        ends = new_ends;
    }
}

/// Sends what a search finds. False when the client is gone.
async fn pass_on(search: Search, sender: &Sender<Bytes>) -> bool {
    let sender = sender.clone();
    let sent = tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for found in search {
            let told = found.and_then(|found| write(&mut chunk, &found));
            if let Err(error) = told {
                // What is damaged is told where it would have been.
                let fault = serde_json::json!({ "error": format!("failed to read collected lines: {error}") });
                chunk.extend_from_slice(format!("{fault}\n").as_bytes());
                break;
            }
            if chunk.len() >= CHUNK_BYTES && sender.blocking_send(std::mem::take(&mut chunk).into()).is_err() {
                return false;
            }
        }
        chunk.is_empty() || sender.blocking_send(chunk.into()).is_ok()
    });
    sent.await.unwrap_or(false)
}

fn write(chunk: &mut Vec<u8>, found: &Found) -> io::Result<()> {
    let run = &found.run;
    let time = Timestamp::from_nanosecond(i128::from(found.time_ns)).unwrap_or_default();
    let told = Told {
        time: format!("{time:.9}"),
        namespace: &run.namespace,
        pod: &run.pod,
        container: &run.container,
        attempt: run.attempt,
        node: &run.node,
        stream: found.stream,
        sequence: found.sequence,
        labels: &run.labels,
        context: !found.is_match,
        line: String::from_utf8_lossy(&found.text),
    };
    serde_json::to_writer(&mut *chunk, &told)?;
    chunk.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_with_whose_it_is() {
        let run = sampan_logs::Run {
            id: "1".into(),
            namespace: "shop".into(),
            pod: "web-0".into(),
            uid: "u".into(),
            container: "main".into(),
            attempt: 2,
            node: "here".into(),
            labels: BTreeMap::from([("app".into(), "web".into())]),
        };
        let text = b"half \xc3 \"quoted\"".to_vec();
        let found = Found {
            run: run.into(),
            sequence: 5,
            time_ns: 1_000_000_000,
            stream: Stream::Stderr,
            text,
            is_match: true,
        };
        let mut chunk = Vec::new();
        write(&mut chunk, &found).unwrap();
        let expect = concat!(
            r#"{"time":"1970-01-01T00:00:01.000000000Z","namespace":"shop","pod":"web-0","container":"main","attempt":2,"#,
            r#""node":"here","stream":"stderr","sequence":5,"labels":{"app":"web"},"line":"half � \"quoted\""}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(chunk).unwrap(), expect);
    }
}
