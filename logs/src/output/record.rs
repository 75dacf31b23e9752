//! What is sent of a line: the fields Fluentd and Fluent Bit give records of Kubernetes, and one that tells doubles.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::join::Joined;
use super::parser::Parser;
use crate::run::Run;

/// Digits of a container's id that tell it from all others.
const ID_DIGITS: usize = 12;

/// How records are made.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// How fields are read from text.
    pub parser: Parser,
    /// Fields every record gets.
    pub fields: BTreeMap<String, String>,
}

/// A record as it is sent.
///
/// Its `id` is that of its lines: whoever receives one twice has received the same lines twice.
#[derive(Debug)]
pub struct Record<'a> {
    joined: &'a Joined,
    added: &'a BTreeMap<String, String>,
    text: Cow<'a, str>,
    /// In place of the text, where that was understood.
    parsed: Option<Map<String, Value>>,
}

impl Shape {
    /// The record of lines.
    pub fn record<'a>(&'a self, joined: &'a Joined) -> Record<'a> {
        let text = String::from_utf8_lossy(&joined.text);
        let mut parsed = self.parser.fields(&text);
        if let Some(parsed) = &mut parsed {
            parsed.retain(|name, _| !is_own(name) && !self.fields.contains_key(name));
        }
        Record { joined, added: &self.fields, text, parsed }
    }
}

/// Whether a field is one of ours, which none of a line may stand for.
fn is_own(name: &str) -> bool {
    ["id", "kubernetes", "stream", "time"].contains(&name)
}

impl Record<'_> {
    /// When Docker took its first line, in nanoseconds of the epoch.
    pub fn time_ns(&self) -> i64 {
        self.joined.time_ns
    }

    /// Which lines it is made of. A number may be given out again to another line when files were lost before they were on
    /// disk; that one has another time.
    fn id(&self) -> String {
        let Joined { run, first, lines, time_ns, .. } = self.joined;
        let container = run.id.get(..ID_DIGITS).unwrap_or(&run.id);
        let mut id = format!("{container}-{first}-{time_ns}");
        if *lines > 1 {
            let _ = write!(id, "-{lines}");
        }
        id
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let read = self.parsed.as_ref().map_or(1, Map::len);
        let mut map = serializer.serialize_map(Some(4 + read + self.added.len()))?;
        map.serialize_entry("id", &self.id())?;
        let time = Timestamp::from_nanosecond(i128::from(self.joined.time_ns)).unwrap_or_default();
        map.serialize_entry("time", &format!("{time:.9}"))?;
        map.serialize_entry("stream", &self.joined.stream)?;
        match &self.parsed {
            Some(parsed) => parsed.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?,
            None => map.serialize_entry("log", &self.text)?,
        }
        self.added.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.serialize_entry("kubernetes", &Kubernetes::of(&self.joined.run))?;
        map.end()
    }
}

/// Whose a record is, in the words of Fluentd's filter `kubernetes_metadata`.
#[derive(Serialize)]
struct Kubernetes<'a> {
    namespace_name: &'a str,
    pod_name: &'a str,
    pod_id: &'a str,
    container_name: &'a str,
    docker_id: &'a str,
    restart_count: u32,
    host: &'a str,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> Kubernetes<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            namespace_name: &run.namespace,
            pod_name: &run.pod,
            pod_id: &run.uid,
            container_name: &run.container,
            docker_id: &run.id,
            restart_count: run.attempt,
            host: &run.node,
            labels: &run.labels,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::line::Stream;

    fn joined(lines: u32, text: &[u8]) -> Joined {
        let run = Run {
            id: "0123456789abcdef".into(),
            namespace: "shop".into(),
            pod: "web-0".into(),
            uid: "u".into(),
            container: "main".into(),
            attempt: 2,
            node: "here".into(),
            labels: BTreeMap::from([("app".into(), "web".into())]),
        };
        let stream = Stream::Stderr;
        Joined { run: Arc::new(run), first: 7, lines, time_ns: 1_000_000_005, stream, text: text.to_vec() }
    }

    fn told(shape: &Shape, joined: &Joined) -> Value {
        serde_json::to_value(shape.record(joined)).unwrap()
    }

    #[test]
    fn a_record_tells_whose_lines_it_is_and_which() {
        let shape = Shape { fields: BTreeMap::from([("cluster".into(), "boat".into())]), ..Shape::default() };
        let expect = json!({
            "id": "0123456789ab-7-1000000005",
            "time": "1970-01-01T00:00:01.000000005Z",
            "stream": "stderr",
            "log": "half \u{fffd}",
            "cluster": "boat",
            "kubernetes": {
                "namespace_name": "shop", "pod_name": "web-0", "pod_id": "u", "container_name": "main",
                "docker_id": "0123456789abcdef", "restart_count": 2, "host": "here", "labels": {"app": "web"},
            },
        });
        assert_eq!(told(&shape, &joined(1, b"half \xc3")), expect);
        assert_eq!(told(&shape, &joined(3, b"a\nb\nc"))["id"], "0123456789ab-7-1000000005-3");
    }

    #[test]
    fn what_is_read_stands_in_place_of_the_text_and_never_in_place_of_what_is_known() {
        let fields = BTreeMap::from([("cluster".into(), "boat".into())]);
        let shape = Shape { parser: Parser::Json, fields };
        let text = br#"{"level":"warn","id":"forged","time":"never","stream":1,"kubernetes":{},"cluster":"other","log":"said"}"#;
        let record = told(&shape, &joined(1, text));
        assert_eq!(
            (&record["level"], &record["log"], &record["cluster"]),
            (&json!("warn"), &json!("said"), &json!("boat"))
        );
        assert_eq!((&record["id"], &record["stream"]), (&json!("0123456789ab-7-1000000005"), &json!("stderr")));
        assert_eq!(record["kubernetes"]["pod_name"], "web-0");
        assert!(told(&shape, &joined(1, br#"{"a":1}"#)).get("log").is_none());
        assert_eq!(told(&shape, &joined(1, b"plain"))["log"], "plain");
    }
}
