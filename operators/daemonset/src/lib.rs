//! DaemonSets: a pod on every node that fits.
//!
//! A node fits by its name, its labels and its taints; a taint that keeps new pods off leaves the one that is there. The
//! scheduler places each pod on the node its affinity names. A new template replaces pods node by node: the earlier pod goes
//! first, or last where the set may surge. What the template was is kept in ControllerRevisions, to go back to.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod pod;
mod status;

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::selector::Selector;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, EventKind, Guarding, Kind, Mapping, Operator, Wake, WriteVerb};
use sampan_core::store::{ReadKey, Snapshot};
use sampan_machine::Chart;
use sampan_podset::{
    REVISION_LABEL, adopted, create_pod, node_differs, owner_and_members, released, revision_of_template,
};

pub use machine::DaemonSetMachine;

use crate::machine::Intent;
use crate::plan::{Reading, Refusal, View};

/// The DaemonSet operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct DaemonSetOperator;

impl Operator for DaemonSetOperator {
    type Machine = DaemonSetMachine;

    fn chart(&self) -> &'static Chart {
        DaemonSetMachine::chart()
    }

    fn machine(&self) -> DaemonSetMachine {
        DaemonSetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<DaemonSet>("daemonset")
            .watching::<Pod>(Mapping::Owner)
            .watching::<Pod>(Mapping::SelectedBy("/spec/selector"))
            .watching::<ControllerRevision>(Mapping::Owner)
            .watching::<Node>(Mapping::function(every_set))
            .heeding(node_differs)
            .writing::<DaemonSet>(WriteVerb::UpdateStatus);
        for verb in [WriteVerb::Create, WriteVerb::Update, WriteVerb::Delete] {
            declaration = declaration.writing::<Pod>(verb).writing::<ControllerRevision>(verb);
        }
        declaration.guarding = Guarding::Decisive {
            because: "a node that changes between snapshot and commit could as well have changed after it, and wakes every set \
                      again; among thousands of nodes there is always one that tells its status",
        };
        declaration
    }

    fn step(&self, machine: &mut DaemonSetMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        if let Some(delay) = view.next_available().map(|at| at.duration_since(view.now)) {
            cx.wake_after(Duration::try_from(delay).unwrap_or_default());
        }
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

/// A node that comes, changes or goes may matter to any set.
fn every_set(_node: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    snapshot.list(DaemonSet::RESOURCE, None, None).map(|set| set.key().clone()).collect()
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let set = cx.primary::<DaemonSet>()?;
    let selector = &set.spec.as_ref()?.selector;
    let uid = set.metadata.uid.as_deref().unwrap_or_default();
    for read in owner_and_members(cx.key(), uid, selector, Pod::RESOURCE) {
        cx.rests_on(read);
    }
    let selector = Selector::try_from(selector).ok()?;
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let mut view = View::new(Reading {
        now: cx.now(),
        nodes: cx.list::<Node>(None),
        owned: cx.owned::<Pod>(),
        matching: cx.matching::<Pod>(&namespace, &selector),
        revisions: cx.owned::<ControllerRevision>(),
        refusal: refusal(cx),
        set,
    });
    if view.update.recorded(&view.revisions).is_none() {
        let key = ObjectKey::namespaced(ControllerRevision::RESOURCE, &namespace, &view.update.name);
        view.collides = cx.get::<ControllerRevision>(&key).is_some();
        cx.rests_on(ReadKey::Object(key));
    }
    Some(view)
}

/// Why what the step before wanted to create may not be.
fn refusal(cx: &Context<'_>) -> Option<Refusal> {
    let refused = cx.refusal().filter(|refused| refused.verb == WriteVerb::Create)?;
    let accepted = if refused.resource == Pod::RESOURCE { refused.accepted_before } else { 0 };
    let of_revision = refused.resource == ControllerRevision::RESOURCE;
    Some(Refusal { of_revision, accepted, message: refused.status.message.clone() })
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Adopt(pod) => cx.update(&adopted(&*pod, &*view.set)),
        Intent::Release(pod) => cx.update(&released(&*pod, &*view.set)),
        Intent::Record(number) => record(number, view, cx),
        Intent::Forget(revision) => cx.delete(&*revision, DeleteOptions::default()),
        Intent::Create(node) => create_pod(pod::pod(&view.set, &node, &view.update), cx),
        Intent::Remake(pod) => remake(&pod, cx),
        Intent::Delete(pod) => delete(&pod, cx),
        Intent::ReportRefusal(message) => {
            cx.event(EventKind::Warning, status::FAILED_CREATE, format!("Error creating: {message}"));
        }
        Intent::WriteStatus(status) => {
            let mut set = DaemonSet::clone(&view.set);
            set.status = Some(*status);
            cx.update_status(&set);
        }
    }
}

/// A template that was one before keeps its revision, which becomes the last.
fn record(number: i64, view: &View, cx: &mut Context<'_>) {
    if let Some(revision) = view.update.renumbered(&view.revisions, number) {
        return cx.update(&revision);
    }
    let template = &view.update.template;
    let mut labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    labels.insert(REVISION_LABEL.to_owned(), view.update.hash().to_owned());
    cx.create(&revision_of_template(&*view.set, template, labels, view.update.name.clone(), number));
}

/// Deletes a pod that has ended: the node gets another once it is gone.
fn remake(pod: &Pod, cx: &mut Context<'_>) {
    let is_failed = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed");
    let title = format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(), name(pod));
    let node = pod::node_of(pod).unwrap_or_default();
    if is_failed {
        let text = format!("Found failed daemon pod {title} on node {node}, will try to kill it");
        cx.event(EventKind::Warning, "FailedDaemonPod", text);
    } else {
        let text = format!("Found succeeded daemon pod {title} on node {node}, will try to delete it");
        cx.event(EventKind::Normal, "SucceededDaemonPod", text);
    }
    delete(pod, cx);
}

fn delete(pod: &Pod, cx: &mut Context<'_>) {
    cx.delete(pod, DeleteOptions::default());
    cx.event(EventKind::Normal, "SuccessfulDelete", format!("Deleted pod: {}", name(pod)));
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}
