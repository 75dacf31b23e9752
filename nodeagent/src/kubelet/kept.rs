//! The log of a run whose container is gone: the lines this node collected of it.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use jiff::Timestamp;
use sampan_logs::{Found, Query as Asked, QueryError, Search};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Refused;
use super::query::Query;
use crate::logs::Logs;

/// Bytes gathered before they are sent.
const CHUNK_BYTES: usize = 32 << 10;
/// Chunks that may wait for the client. When it does not read, the search waits, and nobody else.
const CHUNKS_WAITING: usize = 4;

/// Which lines of a run are asked for, and how they are written.
#[derive(Debug, Default)]
struct Wanted {
    run: String,
    first_sequence: u64,
    since_ns: Option<i64>,
    timestamps: bool,
}

/// The lines of the run with this identifier, as Docker would give them. Nothing where none was collected.
pub(super) async fn lines(
    logs: &Logs,
    run: &str,
    namespace: &str,
    pod: &str,
    query: &Query,
) -> Result<Option<Receiver<io::Result<Bytes>>>, Refused> {
    let asked = Asked { namespace: Some(namespace.to_owned()), pod: Some(pod.to_owned()), ..Asked::default() };
    let failed = |error: QueryError| Refused::BadRequest(error.to_string());
    let (_, mut from) = logs.search(&asked, &BTreeMap::new()).map_err(failed)?;
    let Some(end) = from.get_mut(run) else { return Ok(None) };
    let tail = query.count("tailLines")?.and_then(|count| u64::try_from(count).ok());
    let wanted = Wanted {
        run: run.to_owned(),
        first_sequence: end.saturating_sub(tail.unwrap_or(u64::MAX)),
        since_ns: since_ns(query)?,
        timestamps: query.flag(&["timestamps"]),
    };
    // No other run is read, and of this one what is asked for: one line at least, for where there is none that is told.
    *end = wanted.first_sequence.min(end.saturating_sub(1));
    let (search, _) = logs.search(&asked, &from).map_err(failed)?;
    let (sender, mut receiver) = channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = wanted.pass_on(search, &sender) {
            // Who reads no longer has gone, and misses nothing.
            let _ = sender.blocking_send(Err(error));
        }
    });
    // The first chunk is empty, and comes where there is a line at all.
    Ok(receiver.recv().await.map(|_| receiver))
}

/// From which moment on lines are asked for.
fn since_ns(query: &Query) -> Result<Option<i64>, Refused> {
    let seconds = query.count("sinceSeconds")?.map(|seconds| crate::shell::now().as_second().saturating_sub(seconds));
    let seconds = seconds.map(|seconds| seconds.saturating_mul(1_000_000_000));
    let time = query.time("sinceTime")?.map(|time| i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX));
    Ok(seconds.or(time))
}

impl Wanted {
    /// Sends the lines found until the client goes.
    fn pass_on(&self, search: Search, sender: &Sender<io::Result<Bytes>>) -> io::Result<()> {
        let mut chunk = Vec::new();
        let mut is_first = true;
        for found in search {
            let found = found?;
            if found.run.id != self.run {
                continue;
            }
            if std::mem::take(&mut is_first) && sender.blocking_send(Ok(Bytes::new())).is_err() {
                return Ok(());
            }
            if found.sequence < self.first_sequence || self.since_ns.is_some_and(|since| found.time_ns < since) {
                continue;
            }
            chunk.extend(self.line(&found));
            if chunk.len() >= CHUNK_BYTES && sender.blocking_send(Ok(std::mem::take(&mut chunk).into())).is_err() {
                return Ok(());
            }
        }
        if !chunk.is_empty() {
            // Who reads no longer has gone, and misses nothing.
            let _ = sender.blocking_send(Ok(chunk.into()));
        }
        Ok(())
    }

    fn line(&self, found: &Found) -> Vec<u8> {
        let mut line = Vec::with_capacity(found.text.len() + 1);
        if self.timestamps {
            let time = Timestamp::from_nanosecond(i128::from(found.time_ns)).unwrap_or_default();
            line.extend(format!("{time:.9} ").into_bytes());
        }
        line.extend(&found.text);
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use sampan_logs::{Limits, Run};

    use super::*;
    use crate::logs::Source;

    async fn text(logs: &Logs, run: &str, query: &str) -> Option<String> {
        let lines = lines(logs, run, "shop", "job", &Query::of(Some(query))).await.unwrap();
        let mut lines = lines?;
        let mut text = Vec::new();
        while let Some(chunk) = lines.recv().await {
            text.extend(chunk.unwrap());
        }
        Some(String::from_utf8(text).unwrap())
    }

    /// Logs that were collected of two runs, each of these lines with a second between them.
    async fn collected(folder: &Path, lines: &[String]) -> Logs {
        let logs = Logs::open(&folder.join("kept"), Limits::default()).unwrap();
        for id in ["one", "other"] {
            let run = Run {
                id: id.to_owned(),
                namespace: "shop".to_owned(),
                pod: "job".to_owned(),
                uid: "u".to_owned(),
                container: "main".to_owned(),
                attempt: 0,
                node: "here".to_owned(),
                labels: BTreeMap::new(),
            };
            let path = folder.join(id);
            let mut file = std::fs::File::create(&path).unwrap();
            for (index, line) in lines.iter().enumerate() {
                let time = format!("2026-01-01T00:00:{:02}.000000005Z", index + 1);
                writeln!(file, r#"{{"log":"{id} {line}\n","stream":"stdout","time":"{time}"}}"#).unwrap();
            }
            logs.finish(Source { run, path }).await;
        }
        logs
    }

    #[tokio::test]
    async fn the_lines_of_one_run_are_given_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let logs = collected(folder.path(), &["1", "2", "3"].map(str::to_owned)).await;
        let check = async |query: &str, expect: &str| {
            assert_eq!(text(&logs, "one", query).await.as_deref(), Some(expect), "{query}");
        };
        check("", "one 1\none 2\none 3\n").await;
        check("tailLines=1", "one 3\n").await;
        check("tailLines=0", "").await;
        check("sinceTime=2026-01-01T00:00:02Z&tailLines=5", "one 2\none 3\n").await;
        check("tailLines=1&timestamps=true", "2026-01-01T00:00:03.000000005Z one 3\n").await;
        assert_eq!(text(&logs, "none", "").await, None, "nothing was collected of it");
    }

    #[tokio::test]
    async fn the_last_lines_are_sent_as_they_are_read_however_many_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(CHUNK_BYTES / 2);
        let logs = collected(folder.path(), &vec![long.clone(); 20]).await;
        for (query, expect) in [("tailLines=1000000000", 20), ("tailLines=9", 9)] {
            let lines = lines(&logs, "one", "shop", "job", &Query::of(Some(query))).await.unwrap();
            let mut lines = lines.unwrap();
            let mut bytes = 0;
            while let Some(chunk) = lines.recv().await {
                let length = chunk.unwrap().len();
                assert!(length < 2 * CHUNK_BYTES, "{query}: {length} bytes at once");
                bytes += length;
            }
            assert_eq!(bytes, expect * (long.len() + "one \n".len()), "{query}");
        }
    }
}
