//! What nodes and pods use: `metrics.k8s.io`. Nothing of it is kept; nodes measure it when somebody asks.
//!
//! It looks as metrics-server (0.8) shows it, so that `kubectl top` and whoever else reads it find what they know.

mod nodes;
mod pods;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fill::set;
use super::read::text;
use super::{Column, ResourceDefinition, ServedVersion, Strategy, Verb};
use crate::object::{Object, Quantity, ResourceType};

const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";
const READ: &[Verb] = &[Verb::Get, Verb::List];

/// A resource type that is measured when it is asked for: each of its objects tells what another object uses.
pub trait Measure: Send + Sync {
    /// Whose use it tells.
    fn subject(&self) -> ResourceType;

    /// The node that knows what a subject uses; `None` while none does.
    fn node(&self, subject: &Object) -> Option<String>;

    /// What its kubelet API is asked for: of one subject, of those of a namespace, or of all it has.
    fn uri(&self, namespace: Option<&str>, name: Option<&str>) -> String;

    /// What a subject uses by its node's answer; `None` where that does not say.
    fn measured(&self, subject: &Object, answer: &Value, now: Timestamp) -> Option<Value>;
}

/// What is measured.
pub(super) fn definitions() -> Vec<ResourceDefinition> {
    vec![nodes::definition(), pods::definition()]
}

fn definition(
    resource: ResourceType,
    [kind, singular, schema]: [&'static str; 3],
    strategy: impl Strategy + 'static,
    measure: impl Measure + 'static,
) -> ResourceDefinition {
    let version = ServedVersion::stored(GROUP, VERSION, schema);
    ResourceDefinition {
        verbs: READ,
        measure: Some(Arc::new(measure)),
        ..ResourceDefinition::plain(resource, kind, singular, version, strategy)
    }
}

/// The columns of both.
fn columns() -> Vec<Column> {
    let amount = |name, description| Column { format: "quantity".into(), ..Column::text(name, description) };
    vec![
        amount("cpu", "Processors used, averaged over the window."),
        amount("memory", "The working set at the end of the window."),
        Column { format: "duration".into(), ..Column::text("Window", "The time it was measured over.") },
    ]
}

/// An object about a subject, up to what it uses; `entry` is one of a kubelet's summary.
fn about(kind: &str, subject: &Object, entry: &Value, now: Timestamp) -> Option<Value> {
    let time: Timestamp = text(entry, "/cpu/time").parse().ok()?;
    let window = Duration::from_nanos(entry.pointer("/cpu/windowNanoSeconds")?.as_u64()?);
    let (key, labels) = (subject.key(), &subject.metadata().labels);
    let mut metadata = json!({ "name": key.name, "creationTimestamp": in_seconds(now) });
    if let Some(namespace) = &key.namespace {
        set(&mut metadata, "namespace", namespace.as_ref());
    }
    if !labels.is_empty() {
        set(&mut metadata, "labels", json!(labels));
    }
    Some(json!({
        "kind": kind, "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": metadata,
        "timestamp": in_seconds(time), "window": format!("{}s", window.as_secs_f64()),
    }))
}

/// What an entry of a kubelet's summary says is used, in amounts.
fn usage(entry: &Value) -> Option<Value> {
    let number = |pointer: &str| entry.pointer(pointer)?.as_i64();
    let cpu = Quantity::from_nanos(number("/cpu/usageNanoCores")?).canonical();
    let memory = Quantity::from_bytes(number("/memory/workingSetBytes")?).canonical();
    Some(json!({ "cpu": cpu, "memory": memory }))
}

fn in_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
