//! The scheduler: gives every pod a node that has room for it and that it may run on.
//!
//! A pod that fits nowhere says why in its condition `PodScheduled` and in an Event, and is looked at again when a node
//! changes or a pod makes room. Of the nodes that fit, the pod takes one with few pods of its own controller, then one
//! with much room.
//!
//! What is weighed: what pods ask for against what nodes have, host ports, `nodeSelector` and node affinity, taints and
//! tolerations, the volumes of its claims, affinity and anti-affinity between pods, topology spread constraints. What is
//! not: preemption; and what pods that stand already would rather have near them, as against what they must not.
//!
//! A pod that says nothing of others pays nothing for their number: whoever may keep it out is found by one of its labels, or
//! on the node it is weighed for.

mod amounts;
mod company;
#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod ports;
mod room;
mod search;
mod spread;
mod status;
mod term;
mod volumes;
mod wake;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{
    Command, Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, WriteVerb,
};
use sampan_core::resource::{NODES, PODS};
use sampan_core::store::{IndexKey, PLACE, ReadKey, Snapshot};
use sampan_machine::Chart;
use sampan_podset::node_differs;
use serde_json::json;

use machine::Intent;
pub use machine::SchedulerMachine;
use plan::View;
use search::{Search, Wanted};
use volumes::{Choice, Claims};
use wake::has_ended;

/// The name pods ask for this scheduler by.
const NAME: &str = "default-scheduler";

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
            .concerned_with(wake::is_own)
            .watching::<Node>(Mapping::function(wake::pending))
            .heeding(node_differs)
            .watching::<Pod>(Mapping::function(wake::freed))
            .watching::<Pod>(Mapping::function(wake::companions))
            .heeding(wake::company_differs)
            .watching::<Namespace>(Mapping::function(wake::seeking))
            .heeding(wake::labels_differ)
            .watching::<PersistentVolumeClaim>(Mapping::function(wake::users))
            .watching::<PersistentVolume>(Mapping::function(wake::claimants))
            .watching::<StorageClass>(Mapping::function(wake::claimants))
            .writing::<Pod>(WriteVerb::Update)
            .writing::<PersistentVolumeClaim>(WriteVerb::Update)
            .writing::<PersistentVolume>(WriteVerb::Update)
            .writing::<Pod>(WriteVerb::UpdateStatus);
        declaration.event_source = Some(NAME);
        declaration.guarding = Guarding::Decisive {
            because: "a placement is right when the chosen node, the pods on it, and the pod's claims and their volumes are as \
                      they were weighed, and nobody has come to stand near whom the pod shuns, who shuns it, or whom \
                      it counts; other nodes only make it less good, whoever leaves could have left later, and the \
                      pod itself is a precondition of its binding",
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
    let wanted = Wanted::of(pod, claims, snapshot, &BTreeSet::new());
    let weighed_max = wanted.weighed_max(nodes);
    let skipped = usize::try_from(start % u64::try_from(nodes.max(1)).unwrap_or(1)).unwrap_or_default();
    let ring = snapshot.list(NODES, None, None).skip(skipped).chain(snapshot.list(NODES, None, None).take(skipped));
    for object in ring {
        // A node that does not decode is no candidate; the node's own reader reports it.
        let Ok(node) = object.decode::<Node>() else { continue };
        search.weigh(&wanted, &node, || pods_on(snapshot, &object.key().name));
        if search.fitting() == weighed_max {
            break;
        }
    }
    search.end(&wanted);
    search
}

/// The pods that take room on a node.
fn pods_on(snapshot: &Snapshot, node: &str) -> Vec<Arc<Pod>> {
    let on_node = snapshot.index(&on_node(node));
    on_node.filter(|pod| !has_ended(pod)).filter_map(|pod| pod.decode::<Pod>().ok()).collect()
}

fn on_node(node: &str) -> IndexKey {
    IndexKey::Field { resource: PODS, field: PLACE, value: node.into() }
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
            view.search.rests_on().iter().for_each(|read| cx.rests_on(read.clone()));
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
