//! The scheduler: gives every pod a node that has room for it and that it may run on.
//!
//! A pod that fits nowhere says why in its condition `PodScheduled` and in an Event, and is looked at again when a node
//! changes or a pod makes room. Of the nodes that fit, the pod takes one with few pods of its own controller, then one
//! with much room.
//!
//! What is weighed: what pods ask for against what nodes have, host ports, `nodeSelector` and node affinity, taints and
//! tolerations, the volumes of its claims. What is not: affinity between pods, topology spread constraints, preemption.

mod amounts;
#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod status;
mod volumes;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{
    Command, Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, Watch, WriteVerb,
};
use sampan_core::resource::{NODES, PODS};
use sampan_core::store::{IndexKey, ReadKey, Snapshot};
use sampan_machine::Chart;
use sampan_podset::node_differs;
use sampan_storage::claims_of;
use serde_json::json;

use machine::Intent;
pub use machine::SchedulerMachine;
use plan::{Candidate, Search, View, Wanted};
use volumes::{Choice, Claims};

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
            .heeding(node_differs)
            .watching::<PersistentVolumeClaim>(Mapping::function(users))
            .watching::<PersistentVolume>(Mapping::function(claimants))
            .watching::<StorageClass>(Mapping::function(claimants))
            .writing::<Pod>(WriteVerb::Update)
            .writing::<PersistentVolumeClaim>(WriteVerb::Update)
            .writing::<PersistentVolume>(WriteVerb::Update)
            .writing::<Pod>(WriteVerb::UpdateStatus);
        declaration.watches.push(Watch::of(Some(PODS), Mapping::function(freed)));
        declaration.event_source = Some(NAME);
        declaration.guarding = Guarding::Decisive {
            because: "a placement is right when the chosen node, the pods on it, and the pod's claims and their volumes are as \
                      they were weighed; other nodes only make it less good, and the pod itself is a precondition of \
                      its binding",
        };
        declaration
    }

    fn step(&self, machine: &mut SchedulerMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(pod) = cx.primary::<Pod>() else { return };
        let claims = if plan::needs_node(&pod) { Claims::of(&pod, cx.unguarded()) } else { Claims::default() };
        let view = View { search: search(&pod, &claims, cx), claims, pod, now: cx.now() };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

/// Looks for a node, where the pod needs one.
fn search(pod: &Pod, claims: &Claims, cx: &mut Context<'_>) -> Search {
    let wanted = Wanted::of(pod, claims);
    let start = cx.random().next_u64();
    let mut search = Search::new(start);
    if !plan::needs_node(pod) {
        return search;
    }
    let snapshot = cx.unguarded();
    let nodes = snapshot.count(NODES);
    if let Some(trouble) = claims.trouble() {
        search.give_up(nodes, trouble);
        return search;
    }
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

/// Writes what the pod's claims need on its node, and rests on all that was seen of them.
fn settle_claims(view: &View, cx: &mut Context<'_>) {
    let Some(node) = view.search.chosen() else { return };
    cx.rests_on(ReadKey::Object(node.key()));
    for key in view.claims.read_keys() {
        cx.rests_on(ReadKey::Object(key.clone()));
    }
    for choice in view.claims.choices(node) {
        match choice {
            Choice::Reserve(volume) => {
                cx.rests_on(ReadKey::Object(volume.key()));
                cx.update(&*volume);
            }
            Choice::Select(claim) => cx.update(&*claim),
        }
    }
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    let key = view.pod.key();
    match intent {
        Intent::SettleClaims => settle_claims(view, cx),
        Intent::Bind(node) => {
            cx.rests_on(ReadKey::Object(ObjectKey::cluster(NODES, &node)));
            // What changes a pod that is there already only makes room: a pod more is all that matters.
            cx.rests_on(ReadKey::Index(on_node(&node)).by_membership());
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
    waiting(snapshot).map(|pod| pod.key().clone()).collect()
}

fn waiting(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    let unplaced: Vec<&Object> = snapshot.index(&on_node("")).map(|pod| &**pod).collect();
    unplaced.into_iter().filter(|pod| is_unplaced(pod) && !has_ended(pod))
}

/// The pods that wait for a node, when a pod has made room on one.
fn freed(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let made_room = !is_unplaced(pod) && (has_ended(pod) || snapshot.get(pod.key()).is_none());
    if made_room { pending(pod, snapshot) } else { Vec::new() }
}

/// The pods that wait for a node and use the claim.
fn users(claim: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let (namespace, name) = (&claim.key().namespace, &claim.key().name);
    let uses = |pod: &Object| pod.decode::<Pod>().is_ok_and(|pod| sampan_storage::uses(&pod, name));
    waiting(snapshot)
        .filter(|pod| pod.key().namespace == *namespace && uses(pod))
        .map(|pod| pod.key().clone())
        .collect()
}

/// The pods that wait for a node and use any claim: a change of a volume or class may be what they wait for.
fn claimants(_volume: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let uses = |pod: &Object| pod.decode::<Pod>().is_ok_and(|pod| claims_of(&pod).next().is_some());
    waiting(snapshot).filter(|pod| uses(pod)).map(|pod| pod.key().clone()).collect()
}
