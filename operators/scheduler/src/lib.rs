//! The scheduler: gives every pod a node that has room for it and that it may run on.
//!
//! A pod that fits nowhere says why in its condition `PodScheduled` and in an Event, and is looked at again when a node
//! changes or a pod makes room. Of the nodes that fit, the pod takes one with few pods of its own controller, then one
//! with much room.
//!
//! What is weighed: what pods ask for against what nodes have, host ports, `nodeSelector` and node affinity, taints and
//! tolerations, the volumes of its claims, affinity and anti-affinity between pods (also what those who stand already say of it),
//! topology spread constraints.
//!
//! Where nothing fits, pods of lower priority may give way on one node. The room is promised to the pod
//! (`status.nominatedNodeName`), and nobody less important takes it meanwhile.
//!
//! A pod that says nothing of others pays nothing for their number: whoever may keep it out is found by one of its labels, or
//! on the node it is weighed for.

mod amounts;
mod budgets;
mod company;
#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod occupants;
mod plan;
mod ports;
mod preemption;
mod ring;
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
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{
    Command, Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, WriteVerb,
};
use sampan_core::resource::{NODES, PODS};
use sampan_core::store::{ReadKey, Snapshot};
use sampan_machine::Chart;
use sampan_podset::node_differs;
use serde_json::json;

use machine::Intent;
pub use machine::SchedulerMachine;
use occupants::{nominated_for, nominated_node};
use plan::View;
use preemption::{Claimant, Preemption};
use ring::Ring;
use search::{Search, Wanted};
use volumes::{Choice, Claims};
use xxhash_rust::xxh3::xxh3_64;

/// The name pods ask for this scheduler by.
const NAME: &str = "default-scheduler";

/// The scheduler operator.
#[derive(Default, Clone)]
pub struct Scheduler {
    ring: Arc<Ring>,
}

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
            .watching::<Pod>(Mapping::function(wake::overtaken))
            .heeding(wake::claim_differs)
            .watching::<Namespace>(Mapping::function(wake::seeking))
            .heeding(wake::labels_differ)
            .watching::<PersistentVolumeClaim>(Mapping::function(wake::users))
            .watching::<PersistentVolume>(Mapping::function(wake::claimants))
            .watching::<StorageClass>(Mapping::function(wake::claimants))
            .watching::<PodDisruptionBudget>(Mapping::Nobody {
                because: "a budget only chooses between those who could give way",
            })
            .writing::<Pod>(WriteVerb::Update)
            .writing::<Pod>(WriteVerb::Delete)
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
        let (search, preemption) = search(&pod, &claims, &self.ring, cx);
        let view = View { search, preemption, claims, pod, now: cx.now() };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

/// Where among the nodes the pod begins to look: elsewhere for each pod and each revision of it, so that pods spread, and at the
/// same place whenever its placement is made again.
fn start_of(pod: &Pod) -> u64 {
    let parts = [pod.metadata.uid.as_deref(), pod.metadata.resource_version.as_deref()];
    xxh3_64(parts.map(Option::unwrap_or_default).join(" ").as_bytes())
}

/// Looks for a node, where the pod needs one, and for others to give way, where there is none.
fn search(pod: &Pod, claims: &Claims, ring: &Ring, cx: &mut Context<'_>) -> (Search, Preemption) {
    let start = start_of(pod);
    let mut search = Search::new(start);
    if !plan::needs_node(pod) {
        return (search, Preemption::Untried);
    }
    let snapshot = cx.unguarded();
    let nodes = snapshot.count(NODES);
    if let Some(trouble) = claims.trouble() {
        search.give_up(nodes, trouble);
    }
    let wanted = Wanted::of(pod, claims, snapshot, &BTreeSet::new());
    if claims.trouble().is_none() {
        let promised = nominated_node(pod).and_then(|name| snapshot.get(&ObjectKey::cluster(NODES, name)));
        search.try_first(&wanted, promised.and_then(|node| node.decode::<Node>().ok()));
        if !search.is_promised() {
            look_around(&mut search, &wanted, snapshot, (ring, start));
        }
        search.end(&wanted);
    }
    if search.node().is_some() || search.looked_at() == 0 {
        return (search, Preemption::Untried);
    }
    let preemption = Claimant { pod, wanted: &wanted, snapshot }.preempt(&search);
    (search, preemption)
}

/// Weighs the nodes the pod names, where it may go to no other; else those of a ring from a place of its own, until enough of
/// them fit.
fn look_around(search: &mut Search, wanted: &Wanted<'_>, snapshot: &Snapshot, (ring, start): (&Ring, u64)) {
    if let Some(named) = wanted.named_nodes() {
        let found =
            named.iter().filter_map(|name| snapshot.get(&ObjectKey::cluster(NODES, name))?.decode::<Node>().ok());
        let found: Vec<Arc<Node>> = found.collect();
        search.pass_over(snapshot.count(NODES).saturating_sub(found.len()));
        for node in &found {
            search.weigh(wanted, node, || wanted.occupants(node.metadata.name.as_deref().unwrap_or_default()));
        }
        return;
    }
    let nodes = ring.of(snapshot);
    let weighed_max = wanted.weighed_max(nodes.len());
    let skipped = usize::try_from(start % u64::try_from(nodes.len().max(1)).unwrap_or(1)).unwrap_or_default();
    let (last, first) = nodes.split_at_checked(skipped).unwrap_or_default();
    for object in first.iter().chain(last) {
        if search.fitting() >= weighed_max {
            break;
        }
        // A node that does not decode is no candidate; the node's own reader reports it.
        if let Ok(node) = object.decode::<Node>() {
            search.weigh(wanted, &node, || wanted.occupants(&object.key().name));
        }
    }
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

/// A pod is told to give way, and goes in the step after: what is said of it and its going are two changes of it.
fn preempt(view: &View, cx: &mut Context<'_>) {
    let Some(way) = view.preemption.way() else { return };
    cx.guard_status();
    rest_on_room(&way.node, cx);
    let by = view.pod.metadata.uid.as_deref().unwrap_or_default();
    for victim in way.unmarked() {
        cx.update_status(&status::preempted(victim, view.now));
        let message = format!("Preempted by pod {by} on node {}", way.node);
        let (kind, reason) = (EventKind::Normal, "Preempted".into());
        cx.command(Command::Event { regarding: victim.key(), kind, reason, message });
    }
    for victim in way.marked() {
        cx.delete(&**victim, DeleteOptions::default());
    }
}

/// A decision for a node rests on the node, on what is taken of it, and on who was promised it. That somebody takes less only
/// makes room.
fn rest_on_room(node: &str, cx: &mut Context<'_>) {
    cx.rests_on(ReadKey::Object(ObjectKey::cluster(NODES, node)));
    cx.rests_on(ReadKey::Taken(PODS, node.into()));
    cx.rests_on(ReadKey::Index(nominated_for(node)).by_membership());
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    let key = view.pod.key();
    match intent {
        Intent::SettleClaims => settle_claims(view, cx),
        Intent::Bind(node) => {
            rest_on_room(&node, cx);
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
        Intent::Preempt => preempt(view, cx),
        Intent::Warn(message) => cx.event(EventKind::Warning, "FailedScheduling", message),
    }
}
