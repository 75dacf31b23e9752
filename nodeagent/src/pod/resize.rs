//! Resizing: what a pod's containers ask for and may use, changed while they run (KEP-1287).
//!
//! A pod whose resources were changed keeps running with those it had until its node grants the new ones: what is kept
//! beside it is the wish. Granted, containers are given their new bounds one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, PodSpec, PodStatus, ResourceRequirements};
use sampan_machine::Unmet;
use serde::Serialize;

use super::command::Operation;
use super::moment::time;
use super::quantity::{self, Requests, Shortage};
use super::situation::{ContainerRecord, NodeFacts, Scene, Situation};

const PENDING: &str = "PodResizePending";
const IN_PROGRESS: &str = "PodResizeInProgress";
/// The types of conditions that tell of a resize.
pub(super) const CONDITIONS: [&str; 2] = [PENDING, IN_PROGRESS];
/// There is no room now.
const DEFERRED: &str = "Deferred";
/// There never is as much room.
const INFEASIBLE: &str = "Infeasible";

/// What a container gets of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The share of CPU among containers that compete.
    pub cpu_shares: i64,
    /// Microseconds of CPU in each 100 000; 0 is unlimited.
    pub cpu_quota: i64,
    /// Bytes; 0 is unlimited.
    pub memory_limit: i64,
}

impl Bounds {
    /// What the container is to get.
    pub fn of(container: &Container) -> Self {
        Self {
            cpu_shares: quantity::cpu_shares(container),
            cpu_quota: quantity::cpu_quota(container),
            memory_limit: quantity::memory_limit(container).unwrap_or(0),
        }
    }
}

impl Default for Bounds {
    /// What a container gets that names no resources.
    fn default() -> Self {
        Self::of(&Container::default())
    }
}

/// A pod with resources that its node has not granted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The object as the API server holds it.
    pub pod: Arc<Pod>,
    /// Why it waits, once that was looked at.
    pub pending: Option<Pending>,
}

/// Why a resize is not granted, in the words of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred` or `Infeasible`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Pending {
    /// Whether it may be granted later.
    pub fn is_deferred(&self) -> bool {
        self.reason == DEFERRED
    }

    /// The reason of the Event that tells of it.
    pub fn event(&self) -> &'static str {
        if self.is_deferred() { "ResizeDeferred" } else { "ResizeInfeasible" }
    }
}

/// The pod as it goes on running, and the wish beside it where that differs. `running` is what it runs with so far; an
/// agent that was started anew finds that in what was told before.
pub(super) fn separate(pod: Arc<Pod>, running: &PodSpec) -> (Arc<Pod>, Option<Wish>) {
    let had = |container: &Container| {
        let known = containers(running).find(|known| known.name == container.name);
        let resources = known.map(|known| known.resources.clone());
        resources.or_else(|| pod.status.as_ref().and_then(|status| told(status, &container.name)).map(Some))
    };
    let same =
        |container: &Container| had(container).is_none_or(|had| same(had.as_ref(), container.resources.as_ref()));
    let Some(spec) = pod.spec.as_ref().filter(|spec| !containers(spec).all(same)) else { return (pod, None) };
    let kept = |container: &Container| {
        let resources = had(container).unwrap_or_else(|| container.resources.clone());
        Container { resources, ..container.clone() }
    };
    let spec = PodSpec {
        containers: spec.containers.iter().map(kept).collect(),
        init_containers: spec.init_containers.as_ref().map(|list| list.iter().map(kept).collect()),
        ..spec.clone()
    };
    let kept = Pod { spec: Some(spec), ..(*pod).clone() };
    (Arc::new(kept), Some(Wish { pod, pending: None }))
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// No resources and empty ones are the same.
fn same(one: Option<&ResourceRequirements>, other: Option<&ResourceRequirements>) -> bool {
    let lists = |resources: Option<&ResourceRequirements>| {
        let list = |list: Option<&BTreeMap<_, _>>| list.filter(|list| !list.is_empty()).cloned();
        resources.map_or((None, None), |it| (list(it.requests.as_ref()), list(it.limits.as_ref())))
    };
    lists(one) == lists(other)
}

/// The resources that were told of a container.
pub(super) fn told(status: &PodStatus, name: &str) -> Option<ResourceRequirements> {
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)?.resources.clone()
}

/// Why the node does not grant `wished` to a pod that runs with `running` beside `others`. Whoever asks for no more than it
/// has always gets it.
pub fn refusal<'s>(
    node: &NodeFacts,
    wished: &Pod,
    running: &PodSpec,
    others: impl Iterator<Item = &'s Situation>,
) -> Option<Pending> {
    let wish = wished.spec.as_ref().map(Requests::of).unwrap_or_default().beyond(Requests::of(running));
    if let Some(Shortage { resource, requested, capacity, .. }) = wish.shortage(Requests::default(), node) {
        let message =
            format!("Node didn't have enough capacity: {resource}, requested: {requested}, capacity: {capacity}");
        return Some(Pending { reason: INFEASIBLE, message });
    }
    let used = others.filter(|other| other.takes_room()).map(|other| Requests::of(other.spec()));
    let shortage = wish.shortage(used.fold(Requests::default(), std::ops::Add::add), node)?;
    Some(Pending { reason: DEFERRED, message: shortage.to_string() })
}

/// Whether a run gets something other than its container is to get.
pub(super) fn is_due(container: &Container, run: &ContainerRecord) -> bool {
    run.is_running() && run.bounds != Bounds::of(container)
}

/// Whether a run must be ended, because its container says it takes notice of new resources only when it starts.
pub(super) fn needs_restart(container: &Container, run: &ContainerRecord) -> bool {
    let new = Bounds::of(container);
    let mut policies = container.resize_policy.iter().flatten().filter(|it| it.restart_policy == "RestartContainer");
    policies.any(|policy| match policy.resource_name.as_str() {
        "cpu" => (new.cpu_shares, new.cpu_quota) != (run.bounds.cpu_shares, run.bounds.cpu_quota),
        _ => new.memory_limit != run.bounds.memory_limit,
    })
}

/// How granted resources are being given to containers that run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// All have what they are to get.
    Done,
    /// Some have not.
    UnderWay,
    /// The runtime would not.
    Failed(String),
}

impl Progress {
    /// How it stands.
    pub fn of(situation: &Situation) -> Self {
        let is_due =
            |container: &&Container| situation.latest(&container.name).is_some_and(|run| is_due(container, run));
        let due: Vec<&Container> = containers(situation.spec()).filter(is_due).collect();
        let setback = |container: &&Container| situation.setbacks.get(&Operation::Resize(container.name.clone()));
        match due.iter().find_map(setback) {
            Some(setback) => Self::Failed(setback.message.clone()),
            None if due.is_empty() => Self::Done,
            None => Self::UnderWay,
        }
    }
}

/// The conditions of a pod that is being resized; it has none of them at rest. `told` are those told before.
pub(super) fn conditions(scene: &Scene<'_>, told: &[PodCondition]) -> Vec<PodCondition> {
    let pending = scene.situation.wish.as_ref().and_then(|wish| wish.pending.clone());
    let pending = pending.map(|pending| (PENDING, Some(pending.reason), Some(pending.message)));
    let progress = match Progress::of(scene.situation) {
        Progress::Done => None,
        Progress::UnderWay => Some((IN_PROGRESS, None, None)),
        Progress::Failed(message) => Some((IN_PROGRESS, Some("Error"), Some(message))),
    };
    let condition = |(name, reason, message): (&str, Option<&str>, Option<String>)| {
        let known = told.iter().find(|it| it.type_ == name && it.reason.as_deref() == reason);
        PodCondition {
            type_: name.to_owned(),
            status: "True".to_owned(),
            reason: reason.map(str::to_owned),
            message,
            last_probe_time: None,
            last_transition_time: known.map_or_else(|| Some(time(scene.now)), |it| it.last_transition_time.clone()),
            observed_generation: scene.situation.pod.metadata.generation,
        }
    };
    pending.into_iter().chain(progress).map(condition).collect()
}

/// What a pod that runs waits for to be resized.
pub(super) fn waits(scene: &Scene<'_>) -> Option<Unmet> {
    let (guard, detail) = match scene.situation.wish.as_ref().and_then(|wish| wish.pending.as_ref()) {
        Some(pending) => ("new resources are granted", pending.message.clone()),
        None => match Progress::of(scene.situation) {
            Progress::Done => return None,
            Progress::UnderWay => ("containers have their new resources", "being resized".to_owned()),
            Progress::Failed(message) => ("containers have their new resources", message),
        },
    };
    Some(Unmet { guard: guard.to_owned(), detail, until: None })
}

/// What an Event says of a resize: what containers are to have, as JSON.
pub fn message<'p>(what: &str, pod: &'p Pod, error: &'p str) -> String {
    #[derive(Serialize)]
    struct Row<'p> {
        name: &'p str,
        #[serde(skip_serializing_if = "Option::is_none")]
        resources: Option<&'p ResourceRequirements>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Summary<'p> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        init_containers: Vec<Row<'p>>,
        containers: Vec<Row<'p>>,
        generation: i64,
        #[serde(skip_serializing_if = "str::is_empty")]
        error: &'p str,
    }
    let spec = pod.spec.as_ref();
    let rows = |list: &'p [Container]| -> Vec<Row<'p>> {
        let row = |it: &'p Container| Row { name: &it.name, resources: it.resources.as_ref() };
        list.iter().map(row).collect()
    };
    let summary = Summary {
        init_containers: rows(spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default()),
        containers: rows(spec.map(|spec| spec.containers.as_slice()).unwrap_or_default()),
        generation: pod.metadata.generation.unwrap_or_default(),
        error,
    };
    let summary = serde_json::to_string(&summary).expect("texts and numbers are JSON");
    format!("Pod resize {what}: {summary}")
}
