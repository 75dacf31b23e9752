//! `/sampan.dev/v1/logs`: the lines all nodes collected, also of pods that are gone, one JSON object a line. It takes what
//! `pods/log` takes: who may read the logs of a namespace's pods may search them.
//!
//! | parameter | which lines |
//! | --- | --- |
//! | `namespace`, `pod`, `container`, `labelSelector` | of these; of every namespace where none is given |
//! | `sinceSeconds`, `sinceTime`, `untilTime` | of this time |
//! | `text`, `regex`, `ignoreCase` | that hold this |
//! | `before`, `after` | and so many beside each |
//! | `tailLines`, `follow` | the last alone, and those that come |

use bytes::Bytes;
use form_urlencoded::Serializer;
use futures::future::join_all;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use sampan_core::Timestamp;
use sampan_core::access::{Attributes, Identity, ResourceAttributes};
use sampan_core::object::selector::{Operator, Selector};
use sampan_core::resource::{NODES, PODS, Verb};
use sampan_core::status::Status;
use serde_json::{Value, json};

use crate::node::forward;
use crate::request::Query;
use crate::response::{self, Body, Response};
use crate::state::State;

/// Where lines are served.
const PATH: &str = "/sampan.dev/v1/logs";
/// Where it is told what was collected and what was lost.
const COUNTS: &str = "/sampan.dev/v1/logs/counts";
/// The most lines shown beside a match.
const CONTEXT_LINES_MAX: i64 = 10_000;
/// The most last lines: they are held in memory.
const TAIL_LINES_MAX: i64 = 1_000_000;

/// Whether a path is answered here.
pub(crate) fn serves(path: &str) -> bool {
    path == PATH
}

/// Whether it is asked what was collected and what was lost.
pub(crate) fn serves_counts(path: &str) -> bool {
    path == COUNTS
}

/// What each node collected, keeps, removed and could not read; of those that collect.
pub(crate) async fn counts(state: &State) -> Response {
    let nodes = state.snapshot().list(NODES, None, None).map(|node| node.key().name.to_string()).collect::<Vec<_>>();
    let connector = &*state.nodes;
    let answers = nodes.iter().map(|node| async move {
        let body = forward(connector, node, "/stats/logs").await.ok()?.into_body();
        serde_json::from_slice::<Value>(&body.collect().await.ok()?.to_bytes()).ok()
    });
    let told: Vec<Value> = join_all(answers).await.into_iter().flatten().collect();
    response::json(200, &Value::Array(told), false)
}

/// The lines asked for: by time on each node, lines of one container in the order they were written.
///
/// # Errors
/// `Forbidden` where the caller may not read logs there; what a parameter has wrong; and when no node answers.
pub(crate) async fn answer(state: &State, identity: &Identity, query: &Query) -> Result<Response, Status> {
    let (namespace, pod) = (query.given("namespace"), query.given("pod"));
    let what = ResourceAttributes::of(PODS, namespace, pod).part("log");
    state.authorize(&Attributes::resource(identity, Verb::Get, what))?;
    let asked = asked(query, state.now())?;
    let uri = format!("/logs?{}", Serializer::new(String::new()).append_pair("query", &asked.to_string()).finish());
    let nodes = state.snapshot().list(NODES, None, None).map(|node| node.key().name.to_string()).collect::<Vec<_>>();
    let (connector, uri) = (&*state.nodes, &uri);
    let answers = nodes.iter().map(|node| async move { (node, forward(connector, node, uri).await) });
    let (mut answered, mut refused) = (Vec::new(), Vec::new());
    for (node, answer) in join_all(answers).await {
        match answer {
            Ok(response) => answered.push(response),
            Err(status) => refused.push((node, status)),
        }
    }
    match (answered.len(), refused.pop()) {
        (0, Some((_, status))) => Err(status),
        (1, None) => Ok(answered.remove(0)),
        (_, last) => Ok(together(answered, refused.into_iter().chain(last))),
    }
}

/// What many nodes answer, line by line as it comes; first of all who did not.
fn together<'a>(answered: Vec<Response>, refused: impl Iterator<Item = (&'a String, Status)>) -> Response {
    let missing: Vec<Bytes> = refused
        .map(|(node, status)| format!("{}\n", json!({ "error": format!("node {node}: {}", status.message) })).into())
        .collect();
    let lines = answered.into_iter().map(|response| whole_lines(response.into_body()).boxed());
    let mut response = Response::new(Body::stream(stream::iter(missing).chain(stream::select_all(lines))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    response
}

/// A node's answer, cut behind lines.
fn whole_lines(body: Body) -> impl Stream<Item = Bytes> + Send {
    let begun = (body, Vec::new());
    stream::unfold(begun, |(mut body, mut begun)| async move {
        while let Some(Ok(frame)) = body.frame().await {
            begun.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if let Some(end) = begun.iter().rposition(|byte| *byte == b'\n') {
                let rest = begun.split_off(end + 1);
                return Some((Bytes::from(begun), (body, rest)));
            }
        }
        None
    })
}

/// The question to a node.
fn asked(query: &Query, now: Timestamp) -> Result<Value, Status> {
    let since = match (query.number("sinceSeconds")?, time(query, "sinceTime")?) {
        (Some(_), Some(_)) => {
            return Err(Status::bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        (Some(seconds), None) => Some(nanoseconds(now).saturating_sub(seconds.saturating_mul(1_000_000_000))),
        (None, since) => since,
    };
    Ok(json!({
        "namespace": query.given("namespace"),
        "pod": query.given("pod"),
        "container": query.given("container"),
        "labels": labels(query.text("labelSelector"))?,
        "sinceNs": since,
        "untilNs": time(query, "untilTime")?,
        "text": query.given("text"),
        "regex": query.given("regex"),
        "ignoreCase": query.flag("ignoreCase"),
        "before": count(query, "before", CONTEXT_LINES_MAX)?.unwrap_or(0),
        "after": count(query, "after", CONTEXT_LINES_MAX)?.unwrap_or(0),
        "tail": count(query, "tailLines", TAIL_LINES_MAX)?,
        "follow": query.flag("follow"),
    }))
}

fn count(query: &Query, name: &str, most: i64) -> Result<Option<i64>, Status> {
    match query.number(name)? {
        Some(number) if !(0..=most).contains(&number) => {
            Err(Status::bad_request(format!("{name}: Invalid value: {number}: must be from 0 to {most}")))
        }
        number => Ok(number),
    }
}

fn time(query: &Query, name: &str) -> Result<Option<i64>, Status> {
    let Some(text) = query.given(name) else { return Ok(None) };
    let time: Timestamp = text
        .parse()
        .map_err(|_| Status::bad_request(format!("{name}: Invalid value: {text:?}: is no RFC 3339 time")))?;
    Ok(Some(nanoseconds(time)))
}

fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(if time.as_second() < 0 { i64::MIN } else { i64::MAX })
}

/// A selector as nodes read it: `matchExpressions`.
fn labels(selector: &str) -> Result<Vec<Value>, Status> {
    let selector: Selector =
        selector.parse().map_err(|error| Status::bad_request(format!("unable to parse requirement: {error}")))?;
    let told = selector.requirements.iter().map(|requirement| {
        let (operator, values) = match &requirement.operator {
            Operator::In(values) => ("In", json!(values)),
            Operator::NotIn(values) => ("NotIn", json!(values)),
            Operator::Exists => ("Exists", json!([])),
            Operator::DoesNotExist => ("DoesNotExist", json!([])),
            Operator::GreaterThan(bound) => ("Gt", json!([bound.to_string()])),
            Operator::LessThan(bound) => ("Lt", json!([bound.to_string()])),
        };
        json!({ "key": requirement.label, "operator": operator, "values": values })
    });
    Ok(told.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_of(query: &str) -> Result<Value, Status> {
        asked(&Query::new(Some(query)), "1970-01-01T00:01:00Z".parse().unwrap())
    }

    #[test]
    fn a_question_is_put_to_nodes_in_their_words() {
        let query = "namespace=shop&labelSelector=app in (web,api),!old,n>3&sinceSeconds=10&text=err%20or&before=2\
                     &tailLines=5&follow=true&ignoreCase=true";
        let asked = asked_of(&query.replace(' ', "%20")).unwrap();
        assert_eq!((&asked["namespace"], &asked["pod"]), (&json!("shop"), &Value::Null));
        assert_eq!(
            asked["labels"],
            json!([
                { "key": "app", "operator": "In", "values": ["web", "api"] },
                { "key": "old", "operator": "DoesNotExist", "values": [] },
                { "key": "n", "operator": "Gt", "values": ["3"] },
            ])
        );
        assert_eq!((&asked["sinceNs"], &asked["text"]), (&json!(50_000_000_000_i64), &json!("err or")));
        assert_eq!((&asked["before"], &asked["after"], &asked["tail"]), (&json!(2), &json!(0), &json!(5)));
        assert_eq!((&asked["follow"], &asked["ignoreCase"]), (&json!(true), &json!(true)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        let cases = [
            ("sinceTime=yesterday", "sinceTime: Invalid value"),
            ("untilTime=1", "untilTime: Invalid value"),
            ("tailLines=-1", "tailLines: Invalid value: -1"),
            ("before=10001", "before: Invalid value: 10001"),
            ("sinceSeconds=1&sinceTime=1970-01-01T00:00:00Z", "at most one of"),
            ("labelSelector=a%20b%20c", "unable to parse requirement"),
        ];
        for (query, expect) in cases {
            let status = asked_of(query).unwrap_err();
            assert!(status.code == 400 && status.message.contains(expect), "{query}: {}", status.message);
        }
    }
}
