//! The scheduler: gives every pod a node that has room for it and that it may run on.
//!
//! A pod that fits nowhere says why in its condition `PodScheduled` and in an Event, and is looked at again when a node
//! changes or a pod makes room. Of the nodes that fit, the pod takes one with few pods of its own controller, then one
//! with much room.
//!
//! What is weighed: what pods ask for against what nodes have, host ports, `nodeSelector` and node affinity, taints and
//! tolerations. What is not: affinity between pods, topology spread constraints, preemption.

mod affinity;
mod amounts;
#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod status;
mod taints;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{
    Command, Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, Watch, WriteVerb,
};
use sampan_core::resource::{NODES, PODS};
use sampan_core::store::{IndexKey, ReadKey, Snapshot};
use sampan_machine::Chart;
use serde_json::json;

use machine::Intent;
pub use machine::SchedulerMachine;
use plan::{Candidate, Search, View, Wanted};

/// The name pods ask for this scheduler by.
const NAME: &str = "default-scheduler";

/// Fitting nodes that are weighed against each other before one is taken. It bounds the cost of a placement whatever the
/// size of the cluster; smaller clusters are weighed whole.
const WEIGHED_MAX: usize = 16;

/// The scheduler operator.
#[derive(Debug, Default, Clone, Copy)]
pub struct Scheduler;

impl Operator for Scheduler {
    type Machine = SchedulerMachine;

    fn chart(&self) -> &'static Chart {
        SchedulerMachine::chart()
    }

    fn machine(&self) -> SchedulerMachine {
        SchedulerMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<Pod>("scheduler")
            .concerned_with(is_own)
            .watching::<Node>(Mapping::function(pending))
            .writing::<Pod>(WriteVerb::Update)
            .writing::<Pod>(WriteVerb::UpdateStatus);
        declaration.watches.push(Watch { resource: Some(PODS), wakes: Mapping::function(freed) });
        declaration.event_source = Some(NAME);
        declaration.guarding = Guarding::Decisive {
            because: "a placement is right when the chosen node and the pods on it are as they were weighed; other nodes \
                      only make it less good, and the pod itself is a precondition of its binding",
        };
        declaration
    }

    fn step(&self, machine: &mut SchedulerMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(pod) = cx.primary::<Pod>() else { return };
        let view = View { search: search(&pod, cx), pod, now: cx.now() };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for intent in intents {
            carry_out(intent, &view.pod, cx);
        }
    }
}

/// Looks for a node, where the pod needs one.
fn search(pod: &Pod, cx: &mut Context<'_>) -> Search {
    let wanted = Wanted::of(pod);
    let start = cx.random().next_u64();
    let mut search = Search::new(start);
    if !plan::needs_node(pod) {
        return search;
    }
    let snapshot = cx.unguarded();
    let nodes = snapshot.count(NODES);
    let skipped = usize::try_from(start % u64::try_from(nodes.max(1)).unwrap_or(1)).unwrap_or_default();
    let ring = snapshot.list(NODES, None, None).skip(skipped).chain(snapshot.list(NODES, None, None).take(skipped));
    for object in ring {
        // A node that does not decode is no candidate; the node's own reader reports it.
        let Ok(node) = object.decode::<Node>() else { continue };
        search.weigh(&wanted, &node, |name| Candidate { node: node.clone(), pods: pods_on(snapshot, name) });
        if search.fitting() == WEIGHED_MAX {
            break;
        }
    }
    search
}

/// The pods that take room on a node.
fn pods_on(snapshot: &Snapshot, node: &str) -> Vec<Arc<Pod>> {
    let on_node = snapshot.index(&on_node(node));
    on_node.filter(|pod| !has_ended(pod)).filter_map(|pod| pod.decode::<Pod>().ok()).collect()
}

fn on_node(node: &str) -> IndexKey {
    IndexKey::Field { resource: PODS, field: "spec.nodeName", value: node.into() }
}

fn carry_out(intent: Intent, pod: &Pod, cx: &mut Context<'_>) {
    let key = pod.key();
    match intent {
        Intent::Bind(node) => {
            cx.rests_on(ReadKey::Object(ObjectKey::cluster(NODES, &node)));
            cx.rests_on(ReadKey::Index(on_node(&node)));
            let namespace = key.namespace.as_deref().unwrap_or_default();
            cx.event(
                EventKind::Normal,
                "Scheduled",
                format!("Successfully assigned {namespace}/{} to {node}", key.name),
            );
            let body = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": &*key.name, "namespace": namespace},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
            cx.command(Command::Subresource { key, name: "binding", body });
        }
        Intent::Report(changed) => cx.update_status(&*changed),
        Intent::Warn(message) => cx.event(EventKind::Warning, "FailedScheduling", message),
    }
}

/// Whether a pod asks for this scheduler. A placed one does too: it is seen to be placed, and costs no search.
fn is_own(pod: &Object) -> bool {
    pod.field("spec.schedulerName").is_none_or(|name| name.is_empty() || name == NAME)
}

/// Whether a pod waits for this scheduler.
fn is_unplaced(pod: &Object) -> bool {
    pod.field("spec.nodeName").is_none_or(str::is_empty) && is_own(pod)
}

fn has_ended(pod: &Object) -> bool {
    matches!(pod.field("status.phase"), Some("Succeeded" | "Failed"))
}

/// The pods that wait for a node: a change of any node may be what they wait for.
fn pending(_node: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    snapshot
        .index(&on_node(""))
        .filter(|pod| is_unplaced(pod) && !has_ended(pod))
        .map(|pod| pod.key().clone())
        .collect()
}

/// The pods that wait for a node, when a pod has made room on one.
fn freed(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let made_room = !is_unplaced(pod) && (has_ended(pod) || snapshot.get(pod.key()).is_none());
    if made_room { pending(pod, snapshot) } else { Vec::new() }
}
