//! Nodes: which are heard of, and what their taints say.
//!
//! A node renews its Lease every ten seconds. One that has not for too long is lost: its conditions become `Unknown`, its
//! pods are no longer ready, so that nothing is sent to them, and its taints keep new pods off and drive away those that do
//! not tolerate it for long. They go again when it says that it is ready. Where most nodes are lost at once, the fault is
//! likelier between them and here, and no pods are driven away.
//!
//! Silence is counted by the clock of the store, and from the start of the process at the earliest: neither a node whose
//! clock is wrong nor one that could not be heard is lost.

#[cfg(feature = "conformance")]
pub mod conformance;
mod disruption;
mod machine;
mod plan;
mod status;
mod taints;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{
    Command, Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, WriteVerb,
};
use sampan_core::resource::{EVENT_TTL_SECONDS, EVENTS, LEASES, NODES, PODS, UNREADY};
use sampan_core::store::{IndexKey, ReadKey, Snapshot};
use sampan_machine::Chart;
use sampan_podset::{condition_of, is_node_ready, is_ready};

use disruption::Disruption;
use machine::Intent;
pub use machine::NodeMachine;
use plan::View;

/// Where the Leases of nodes are.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// A time that is later than now by more than this was written before the clock was set back: it says nothing.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(5);
/// How long Events are kept.
const EVENTS_LAST: SignedDuration = SignedDuration::from_secs(EVENT_TTL_SECONDS as i64);

/// The operator of nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeOperator;

impl Operator for NodeOperator {
    type Machine = NodeMachine;

    fn chart(&self) -> &'static Chart {
        NodeMachine::chart()
    }

    fn machine(&self) -> NodeMachine {
        NodeMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<Node>("node")
            .watching::<Node>(Mapping::function(others_not_ready))
            .heeding(differs_in_readiness)
            .watching::<Lease>(Mapping::Nobody {
                because: "a renewal changes nothing but how long silence may last: a timer looks when that is over",
            })
            .watching::<Pod>(Mapping::Nobody { because: "pods are marked once, together with their node" })
            .writing::<Node>(WriteVerb::Update)
            .writing::<Node>(WriteVerb::UpdateStatus)
            .writing::<Pod>(WriteVerb::UpdateStatus);
        declaration.guarding = Guarding::Decisive {
            because: "a node is given up while its Lease, its pods and itself are as they were read; other nodes wake it again \
                      when their readiness changes",
        };
        declaration
    }

    fn step(&self, machine: &mut NodeMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        if let Some(at) = view.look_again_at() {
            cx.wake_after(Duration::try_from(at.duration_since(view.now)).unwrap_or_default());
        }
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let node = cx.primary::<Node>()?;
    let heard = heard(&node, cx);
    let mut view = View { now: cx.now(), node, heard, ready_pods: Vec::new(), disruption: Disruption::Normal };
    if view.is_silent() {
        let on_it = IndexKey::Field { resource: PODS, field: "spec.nodeName", value: view.name().into() };
        cx.rests_on(ReadKey::Index(on_it));
        let pods = cx.with_field::<Pod>("spec.nodeName", view.name());
        view.ready_pods = pods.into_iter().filter(|pod| is_ready(pod)).collect();
    }
    if matches!(condition_of(&view.node, "Ready"), Some("False" | "Unknown")) {
        let nodes = cx.list::<Node>(None);
        view.disruption = disruption::disruption(&view.node, nodes.iter().map(|node| &**node));
    }
    Some(view)
}

/// When the node was last heard of, or when somebody began to listen.
fn heard(node: &Node, cx: &mut Context<'_>) -> Timestamp {
    let own = node.key();
    let lease = ObjectKey::namespaced(LEASES, LEASE_NAMESPACE, &own.name);
    cx.rests_on(ReadKey::Object(lease.clone()));
    let renewed = cx.changed_at(&lease);
    // It has told how it is when it says so, and not later than that was stored, whatever its clock shows.
    let told = plan::heartbeat(node).map(|said| cx.changed_at(&own).map_or(said, |stored| said.min(stored)));
    let created = node.metadata.creation_timestamp.as_ref().map(|created| created.0);
    let latest = cx.now().saturating_add(CLOCK_SLACK).unwrap_or(Timestamp::MAX);
    let signs = [renewed, told, created].into_iter().flatten().filter(|sign| *sign <= latest);
    signs.fold(cx.hears_since(), Timestamp::max)
}

/// The nodes that are not ready, when the readiness of one changes: how many are lost at once decides what becomes of each.
fn others_not_ready(_node: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let unready = IndexKey::Field { resource: NODES, field: UNREADY, value: "".into() };
    snapshot.index(&unready).map(|node| node.key().clone()).collect()
}

fn differs_in_readiness(before: &Object, after: &Object) -> bool {
    let (Ok(before), Ok(after)) = (before.decode::<Node>(), after.decode::<Node>()) else { return true };
    condition_of(&before, "Ready") != condition_of(&after, "Ready") || before.metadata.labels != after.metadata.labels
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::GiveUp => give_up(view, cx),
        Intent::Taint => {
            if let Some(node) = taints::tainted(view) {
                cx.update(&node);
            }
        }
        Intent::Welcome => welcome(view, cx),
    }
}

/// The node comes last: where not all its pods can be marked in one commit, it is silent until they are.
fn give_up(view: &View, cx: &mut Context<'_>) {
    // No later step takes it back: the node itself says that it is there.
    cx.guard_status();
    for pod in &view.ready_pods {
        cx.update_status(&status::not_ready(pod, view.now));
        cx.command(Command::Event {
            regarding: pod.key(),
            kind: EventKind::Warning,
            reason: "NodeNotReady".into(),
            message: "Node is not ready".to_owned(),
        });
    }
    if is_node_ready(&view.node) {
        let text = format!("Node {} status is now: NodeNotReady", view.name());
        cx.event(EventKind::Normal, "NodeNotReady", text);
    }
    cx.update_status(&status::unknown(&view.node, view.now));
}

/// Nothing but the Event remembers that users were told, and a restart is no reason to tell again: a node older than Events
/// are kept was told of.
fn welcome(view: &View, cx: &mut Context<'_>) {
    const REGISTERED: &str = "RegisteredNode";
    let created = view.node.metadata.creation_timestamp.as_ref().map_or(view.now, |created| created.0);
    if view.now.duration_since(created) >= EVENTS_LAST {
        return;
    }
    let uid = view.node.metadata.uid.as_deref().unwrap_or_default().into();
    let regarding = IndexKey::Field { resource: EVENTS, field: "involvedObject.uid", value: uid };
    let mut events = cx.unguarded().index(&regarding).filter_map(|event| event.decode::<Event>().ok());
    if events.any(|event| event.reason.as_deref() == Some(REGISTERED)) {
        return;
    }
    let name = view.name();
    cx.event(EventKind::Normal, REGISTERED, format!("Node {name} event: Registered Node {name} in Controller"));
}
