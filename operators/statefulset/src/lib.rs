//! StatefulSets: pods that keep their name, their host name and their data.
//!
//! Each ordinal has a pod of its own name and a claim of each claim template. Pods come and go in order, one after the
//! other, unless the set says `Parallel`; a new template replaces them from the last to the first, down to the partition.
//! What the template was is kept in ControllerRevisions, to go back to.
//!
//! In one thing this set is kinder than Kubernetes': a pod of an earlier template that does not serve is replaced without
//! waiting for it. There a rollout that is broken at its first pod stays so until somebody deletes that pod by hand.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod pod;
mod status;

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::ObjectKey;
use sampan_core::object::selector::Selector;
use sampan_core::operator::{Context, Declaration, EventKind, Kind, Mapping, Operator, Wake, WriteVerb};
use sampan_machine::Chart;
use sampan_podset::{adopted, released, revision_of_template};

pub use machine::StatefulSetMachine;

use crate::machine::Intent;
use crate::plan::{Reading, Refusal, View};

/// The StatefulSet operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatefulSetOperator;

impl Operator for StatefulSetOperator {
    type Machine = StatefulSetMachine;

    fn chart(&self) -> &'static Chart {
        StatefulSetMachine::chart()
    }

    fn machine(&self) -> StatefulSetMachine {
        StatefulSetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<StatefulSet>("statefulset")
            .watching::<Pod>(Mapping::Owner)
            .watching::<Pod>(Mapping::SelectedBy("/spec/selector"))
            .watching::<ControllerRevision>(Mapping::Owner)
            .watching::<PersistentVolumeClaim>(Mapping::function(pod::sets_of_claim))
            .writing::<Pod>(WriteVerb::Create)
            .writing::<Pod>(WriteVerb::Update)
            .writing::<Pod>(WriteVerb::Delete)
            .writing::<PersistentVolumeClaim>(WriteVerb::Create)
            .writing::<PersistentVolumeClaim>(WriteVerb::Update)
            .writing::<ControllerRevision>(WriteVerb::Create)
            .writing::<ControllerRevision>(WriteVerb::Update)
            .writing::<ControllerRevision>(WriteVerb::Delete)
            .writing::<StatefulSet>(WriteVerb::UpdateStatus)
    }

    fn step(&self, machine: &mut StatefulSetMachine, _wake: &Wake, cx: &mut Context<'_>) {
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

fn look(cx: &mut Context<'_>) -> Option<View> {
    let set = cx.primary::<StatefulSet>()?;
    let selector = Selector::try_from(&set.spec.as_ref()?.selector).ok()?;
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let mut view = View::new(Reading {
        now: cx.now(),
        owned: cx.owned::<Pod>(),
        matching: cx.matching::<Pod>(&namespace, &selector),
        revisions: cx.owned::<ControllerRevision>(),
        refusal: refusal(cx),
        set,
    });
    for name in view.claim_names() {
        let key = ObjectKey::namespaced(PersistentVolumeClaim::RESOURCE, &namespace, &name);
        view.claims.extend(cx.get::<PersistentVolumeClaim>(&key).map(|claim| (name, claim)));
    }
    if view.update.recorded(&view.revisions).is_none() {
        let key = ObjectKey::namespaced(ControllerRevision::RESOURCE, &namespace, &view.update.name);
        view.collides = cx.get::<ControllerRevision>(&key).is_some();
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
        Intent::Create(ordinal) => create(ordinal, view, cx),
        Intent::Remake(pod) => {
            let is_failed = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed");
            let (reason, how) =
                if is_failed { ("RecreatingFailedPod", "failed") } else { ("RecreatingTerminatedPod", "terminated") };
            let text = format!("StatefulSet {} is recreating {how} Pod {}", title(&*view.set), name(&*pod));
            cx.event(if is_failed { EventKind::Warning } else { EventKind::Normal }, reason, text);
            cx.delete(&*pod, DeleteOptions::default());
        }
        Intent::Delete(pod) => {
            cx.delete(&*pod, DeleteOptions::default());
            let text = format!("delete Pod {} in StatefulSet {} successful", name(&*pod), name(&*view.set));
            cx.event(EventKind::Normal, "SuccessfulDelete", text);
        }
        Intent::Own(claim) => cx.update(&*claim),
        Intent::ReportRefusal(message) => {
            let text = format!("create Pod in StatefulSet {} failed error: {message}", name(&*view.set));
            cx.event(EventKind::Warning, status::FAILED_CREATE, text);
        }
        Intent::WriteStatus(status) => {
            let mut set = StatefulSet::clone(&view.set);
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
    let labels = view.set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    let (template, name) = (&view.update.template, view.update.name.clone());
    cx.create(&revision_of_template(&*view.set, template, labels, name, number));
}

fn create(ordinal: i32, view: &View, cx: &mut Context<'_>) {
    let pod = pod::pod(&view.set, ordinal, view.revision_for(ordinal));
    let (pod_name, set_name) = (name(&pod).to_owned(), name(&*view.set).to_owned());
    for claim in view.missing_claims(ordinal) {
        let text = format!("create Claim {} Pod {pod_name} in StatefulSet {set_name} success", name(&claim));
        cx.create(&claim);
        cx.event(EventKind::Normal, "SuccessfulCreate", text);
    }
    cx.create(&pod);
    cx.event(
        EventKind::Normal,
        "SuccessfulCreate",
        format!("create Pod {pod_name} in StatefulSet {set_name} successful"),
    );
}

fn name<K: Kind>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// `default/web`.
fn title<K: Kind>(object: &K) -> String {
    format!("{}/{}", object.meta().namespace.as_deref().unwrap_or_default(), name(object))
}
