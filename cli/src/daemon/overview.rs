//! Looking over the cluster for `sampan status`.

use sampan_core::object::{Object, ResourceType};
use sampan_core::operator::Shown;
use sampan_core::resource::{DAEMON_SETS, MANIFEST_FILES, NODES, REPLICATION_CONTROLLERS, STATEFUL_SETS};
use sampan_core::store::Snapshot;
use serde_json::Value;

use crate::overview::{FileState, NodeState, Overview, ProblemState, WorkloadState};

const DEPLOYMENTS: ResourceType = ResourceType::new("apps", "deployments");
const REPLICA_SETS: ResourceType = ResourceType::new("apps", "replicasets");
/// What keeps a number of pods.
const WORKLOADS: [ResourceType; 5] = [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, REPLICA_SETS, REPLICATION_CONTROLLERS];

/// How the cluster is.
pub(super) fn look(snapshot: &Snapshot, server: &str, operators: &Shown) -> Overview {
    let values = |resource| snapshot.list(resource, None, None).map(|object: &std::sync::Arc<Object>| object.value());
    let mut files: Vec<FileState> = values(MANIFEST_FILES).map(|file| file_state(&file)).collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Overview {
        server: server.to_owned(),
        revision: snapshot.revision().0,
        nodes: values(NODES).map(|node| node_state(&node)).collect(),
        store_problem: None,
        directory_problem: None,
        files,
        workloads: WORKLOADS.into_iter().flat_map(|kind| workloads(snapshot, kind)).collect(),
        disabled_operators: operators.view().disabled.iter().map(ToString::to_string).collect(),
        oldest_unhandled: operators.stuck(),
    }
}

fn node_state(node: &Value) -> NodeState {
    let conditions =
        node.pointer("/status/conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ready = conditions.iter().any(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True");
    NodeState { name: text(node, "/metadata/name").to_owned(), ready }
}

fn file_state(file: &Value) -> FileState {
    let list = |pointer: &str| file.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    FileState {
        path: text(file, "/spec/path").to_owned(),
        phase: text(file, "/status/phase").to_owned(),
        objects: list("/status/objects").len(),
        problems: list("/status/problems").iter().map(problem_state).collect(),
    }
}

fn problem_state(problem: &Value) -> ProblemState {
    let place = |pointer: &str| problem.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    ProblemState {
        line: place("/line"),
        column: place("/column"),
        message: text(problem, "/message").to_owned(),
        snippet: text(problem, "/snippet").to_owned(),
    }
}

/// What somebody asked for: a replica set that a Deployment keeps is told with its Deployment.
fn workloads(snapshot: &Snapshot, resource: ResourceType) -> Vec<WorkloadState> {
    let asked_for = snapshot.list(resource, None, None).filter_map(|object| {
        let value = object.value();
        let owned = value
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .is_some_and(|owners| !owners.is_empty());
        let count = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        // A set of daemons has as many as there are nodes for it, which it says once it was looked at.
        let (desired, ready) = match resource == DAEMON_SETS {
            true if value.pointer("/status/observedGeneration").is_none() => (1, 0),
            true => (count("/status/desiredNumberScheduled"), count("/status/numberReady")),
            false => (count("/spec/replicas"), count("/status/readyReplicas")),
        };
        (!owned).then(|| WorkloadState { object: object.key().to_string(), desired, ready })
    });
    asked_for.collect()
}

fn text<'value>(value: &'value Value, pointer: &str) -> &'value str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
