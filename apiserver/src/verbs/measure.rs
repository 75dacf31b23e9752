//! Resource types that are measured: their nodes are asked when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Limited};
use sampan_core::gateway::Verb;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::Measure;
use sampan_core::status::Status;
use serde_json::Value;
use tokio::time::timeout;

use super::selection::Selection;
use crate::call::Call;
use crate::node::{NodeConnector, forward};
use crate::request::{ListOptions, accepts_gzip};
use crate::response::{self, ListMetadata, Response};

/// The longest a node may take to measure, as long as metrics-server waits.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer read from a node, in bytes: a thousand pods fill a tenth of it.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The answer to a get or a list. What a node does not tell in time is left out.
pub(super) async fn measure(call: &Call, measure: &dyn Measure, verb: Verb) -> Result<Response, Status> {
    call.authorize(verb)?;
    match verb {
        Verb::Get => get(call, measure).await,
        _ => list(call, measure).await,
    }
}

async fn get(call: &Call, measure: &dyn Measure) -> Result<Response, Status> {
    let view = call.view()?;
    let key = call.key()?;
    let subject = ObjectKey { resource: measure.subject(), ..key.clone() };
    let found = call.state.snapshot().get(&subject).cloned();
    let subject = found.ok_or_else(|| Status::not_found(&subject.resource.to_string(), &subject.name))?;
    let uri = measure.uri(key.namespace.as_deref(), Some(&key.name));
    let measured = measured(call, measure, &[subject], &uri).await.pop();
    let unmeasured = || {
        let definition = &call.path.served.definition;
        let name = key.namespace.iter().chain([&key.name]).map(AsRef::as_ref).collect::<Vec<&str>>().join("/");
        Status::not_found(&format!("{}.{}", definition.singular, definition.resource.group), &name)
    };
    Ok(view.one(200, &measured.ok_or_else(unmeasured)?))
}

async fn list(call: &Call, measure: &dyn Measure) -> Result<Response, Status> {
    let view = call.view()?;
    let options = ListOptions::parse(&call.query, &call.path.served.definition)?;
    let snapshot = call.state.snapshot();
    let subjects = Selection::new(call, &options).of_resource(measure.subject()).of(&snapshot, None, usize::MAX);
    let uri = measure.uri(call.path.namespace.as_deref(), None);
    let objects = measured(call, measure, &subjects, &uri).await;
    let metadata = ListMetadata { revision: snapshot.revision().0, ..ListMetadata::default() };
    Ok(response::list(view, objects, &metadata, accepts_gzip(call.headers())))
}

/// What the subjects use, of those whose nodes tell.
async fn measured(call: &Call, measure: &dyn Measure, subjects: &[Arc<Object>], uri: &str) -> Vec<Bytes> {
    let nodes: BTreeSet<String> = subjects.iter().filter_map(|subject| measure.node(subject)).collect();
    let connector = &*call.state.nodes;
    let answers = nodes.into_iter().map(|node| async move { Some((ask(connector, &node, uri).await?, node)) });
    let answers: BTreeMap<String, Value> =
        join_all(answers).await.into_iter().flatten().map(|(answer, node)| (node, answer)).collect();
    let now = call.state.now();
    let told = subjects.iter().filter_map(|subject| {
        let answer = answers.get(&measure.node(subject)?)?;
        Some(measure.measured(subject, answer, now)?.to_string().into())
    });
    told.collect()
}

async fn ask(nodes: &dyn NodeConnector, node: &str, uri: &str) -> Option<Value> {
    let asked = async {
        let body = forward(nodes, node, uri).await.ok()?.into_body();
        let answer = Limited::new(body, ANSWER_BYTES_MAX).collect().await.ok()?;
        serde_json::from_slice(&answer.to_bytes()).ok()
    };
    let answer = timeout(MEASURE_TIMEOUT, asked).await.ok().flatten();
    if answer.is_none() {
        tracing::debug!(node, "what is used on a node is not known: it does not tell");
    }
    answer
}
