//! The evictor: takes pods off nodes that do not keep them.
//!
//! A pod that does not tolerate a `NoExecute` taint of its node, or no longer, is deleted there: its node ends it, at once or
//! when it comes back. Only where nobody can end a pod it is removed by force: its node is gone, or somebody said that it is
//! out of service, or it never had one. A node that is merely lost may still run its pods; those stay until it says that
//! they have ended, so that there are never two of one name.
//!
//! Whoever takes a pod away says so on it first, in a condition that others count on. Where it is not deleted within two minutes,
//! because who wanted its place has gone, say, that is taken back, whoever said it.
//!
//! Pods whose nodes keep them are not looked at: a change of a pod or a node wakes those alone that it may take off.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod status;
mod wake;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Context, Declaration, EventKind, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::NODES;
use sampan_core::resource::pod::is_marked;
use sampan_machine::Chart;

pub use machine::EvictorMachine;
use machine::Intent;
use plan::{Fate, View, node_of};

/// The operator that takes pods off nodes that do not keep them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evictor;

impl Operator for Evictor {
    type Machine = EvictorMachine;

    fn chart(&self) -> &'static Chart {
        EvictorMachine::chart()
    }

    fn machine(&self) -> EvictorMachine {
        EvictorMachine::default()
    }

    fn declaration(&self) -> Declaration {
        // No pod is woken for itself alone: what becomes of it depends on its node.
        let mut declaration = Declaration::of::<Pod>("evictor")
            .concerned_with(|_| false)
            .watching_from_start::<Pod>(Mapping::function(|pod, snapshot| {
                wake::itself(pod, snapshot).into_iter().collect()
            }))
            .watching::<Node>(Mapping::function(wake::on_node))
            .heeding(wake::differs)
            .writing::<Pod>(WriteVerb::UpdateStatus)
            .writing::<Pod>(WriteVerb::Delete);
        declaration.event_source = Some("taint-eviction-controller");
        declaration
    }

    fn step(&self, machine: &mut EvictorMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(pod) = cx.primary::<Pod>() else { return };
        let is_marked = cx.primary_object().is_some_and(|pod| is_marked(&pod));
        let node = node_of(&pod).and_then(|name| cx.get::<Node>(&ObjectKey::cluster(NODES, name)));
        let view = View { pod, is_marked, node, now: cx.now(), hears_since: cx.hears_since(), noticed: None };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        if let Some(at) = view.look_again_at() {
            cx.wake_after(Duration::try_from(at.duration_since(view.now)).unwrap_or_default());
        }
        for intent in intents {
            // A pod that is marked is not unmarked by a later step.
            cx.guard_status();
            match intent {
                Intent::Evict => evict(&view, cx),
                Intent::Remove => remove(&view, cx),
                Intent::Unmark => cx.update_status(&status::not_disrupted(&view.pod, view.now)),
            }
        }
    }
}

/// Its node ends it.
fn evict(view: &View, cx: &mut Context<'_>) {
    if view.says_why() {
        return cx.delete(&*view.pod, DeleteOptions::default());
    }
    let key = cx.key();
    let title = format!("{}/{}", key.namespace.as_deref().unwrap_or_default(), key.name);
    cx.event(EventKind::Normal, "TaintManagerEviction", format!("Marking for deletion Pod {title}"));
    cx.update_status(&status::driven_away(&view.pod, view.now));
}

/// Nobody ends it.
fn remove(view: &View, cx: &mut Context<'_>) {
    let Fate::Removing(cause) = view.fate() else { return };
    if view.has_ended() {
        return cx.delete(&*view.pod, DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() });
    }
    cx.update_status(&status::failed(&view.pod, cause, view.now));
}
