//! What a host is told, and what it wants done.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use sampan_machine::Decision;

use crate::pod::probe::{ProbeKind, ProbeOrder};
use crate::pod::source::{Data, SourceKey};
use crate::pod::{Command, ContainerRecord, EventNote, Operation, Outcome, Sandbox, Uid};

/// Names a pod to the runtime and in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// The pod's uid.
    pub uid: Uid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node it is bound to.
    pub node: String,
}

/// What the API server made of a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Done; the object afterwards, where it was sent back.
    Accepted(Option<Arc<Pod>>),
    /// There is no such object, or another one has its name.
    Missing,
    /// It failed; worth another try.
    Failed(String),
}

/// What a host is told.
#[derive(Debug)]
pub enum Message {
    /// A pod was seen, new or changed.
    Pod(Arc<Pod>),
    /// A pod no longer exists.
    PodGone(Uid),
    /// Every pod that exists has been told; these are all.
    Listed(BTreeSet<Uid>),
    /// The runtime answered a command.
    Outcome(Uid, Operation, Outcome),
    /// The runtime shows a container.
    Container(Uid, ContainerRecord),
    /// The runtime shows a sandbox.
    Sandbox(Uid, Sandbox),
    /// The runtime no longer holds the container with this identifier.
    Vanished(Uid, String),
    /// A probe was answered: nothing wrong, or what.
    Probed(Uid, ProbedRun, Result<(), String>),
    /// A config map or secret was seen, or found not to exist.
    Source(SourceKey, Option<Arc<Data>>),
    /// The runtime has something to tell the user.
    Note(Uid, EventNote),
    /// The API server answered a status.
    Posted(Uid, Answer),
    /// The API server answered a deletion.
    Deleted(Uid, Answer),
}

/// Which probe of which run was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedRun {
    /// The container's name.
    pub container: String,
    /// The run's identifier.
    pub container_id: String,
    /// The probe.
    pub kind: ProbeKind,
}

/// A status to be sent to the API server.
#[derive(Debug, Clone)]
pub struct StatusPost {
    /// The pod.
    pub pod: PodRef,
    /// A strategic merge patch of the status subresource.
    pub patch: serde_json::Value,
    /// What led to it.
    pub decision: Option<Box<Decision>>,
}

/// What a host wants done.
#[derive(Debug)]
pub enum Effect {
    /// Let the runtime carry out a command.
    Run(PodRef, Command),
    /// Make a probe.
    Probe(PodRef, ProbeOrder),
    /// Send a status.
    Post(Box<StatusPost>),
    /// Let the API server remove the object: nothing is left of it here.
    Delete(PodRef),
    /// Tell the user.
    Event(PodRef, EventNote),
    /// Keep telling about a config map or secret.
    Watch(SourceKey),
    /// No longer.
    Unwatch(SourceKey),
}
