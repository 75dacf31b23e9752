//! ReplicaSets: so many pods of one template, always.
//!
//! The operator looks at the pods a ReplicaSet controls, adopts matching orphans, lets go of pods that no longer match,
//! creates what is missing and deletes what is too much, and tells in the status how many there are.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
pub mod resource;
mod status;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::selector::Selector;
use sampan_core::operator::{Context, Declaration, EventKind, Guarding, Mapping, Operator, Wake, WriteVerb};
use sampan_machine::Chart;
use sampan_podset::{controller_reference, pod_from_template};

use machine::Intent;
pub use machine::ReplicaSetMachine;
use plan::View;

/// The ReplicaSet operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplicaSetOperator;

impl Operator for ReplicaSetOperator {
    type Machine = ReplicaSetMachine;

    fn chart(&self) -> &'static Chart {
        ReplicaSetMachine::chart()
    }

    fn machine(&self) -> ReplicaSetMachine {
        ReplicaSetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<ReplicaSet>("replicaset")
            .watching::<Pod>(Mapping::Owner)
            .watching::<Pod>(Mapping::SelectedBy("/spec/selector"))
            .writing::<Pod>(WriteVerb::Create)
            .writing::<Pod>(WriteVerb::Update)
            .writing::<Pod>(WriteVerb::Delete)
            .writing::<ReplicaSet>(WriteVerb::UpdateStatus);
        declaration.guarding = Guarding::Membership {
            because: "how many pods are created or deleted follows from which there are; a pod that turns ready or fails in \
                      that moment could as well have done so after, and what is adopted or let go names its revision",
        };
        declaration
    }

    fn step(&self, machine: &mut ReplicaSetMachine, _wake: &Wake, cx: &mut Context<'_>) {
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
    let set = cx.primary::<ReplicaSet>()?;
    let selector = Selector::try_from(&set.spec.as_ref()?.selector).ok()?;
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let owned = cx.owned::<Pod>();
    let matching = cx.matching::<Pod>(&namespace, &selector);
    let refusal = cx.refusal().cloned();
    Some(View::new(cx.now(), set, &selector, owned, matching, refusal.as_ref()))
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Create(count) => (0..count).for_each(|_| create(view, cx)),
        Intent::Delete(pod) => {
            cx.delete(&*pod, DeleteOptions::default());
            let message = format!("Deleted pod: {}", name(&pod));
            cx.event(EventKind::Normal, "SuccessfulDelete", message);
        }
        Intent::Adopt(pod) => {
            let mut pod = Arc::unwrap_or_clone(pod);
            pod.metadata.owner_references.get_or_insert_default().push(controller_reference(&*view.set));
            cx.update(&pod);
        }
        Intent::Release(pod) => {
            let mut pod = Arc::unwrap_or_clone(pod);
            let uid = view.set.metadata.uid.as_deref();
            pod.metadata.owner_references.iter_mut().for_each(|owners| owners.retain(|it| Some(&*it.uid) != uid));
            cx.update(&pod);
        }
        Intent::ReportRefusal(message) => {
            cx.event(EventKind::Warning, status::FAILED_CREATE, format!("Error creating: {message}"));
        }
        Intent::WriteStatus => {
            let mut set = (*view.set).clone();
            set.status = Some(status::status(view));
            cx.update_status(&set);
        }
    }
}

/// The name is chosen here, so that the Event beside the pod can tell it.
fn create(view: &View, cx: &mut Context<'_>) {
    let template = view.set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = pod_from_template(&*view.set, &template);
    let prefix = pod.metadata.generate_name.clone().unwrap_or_default();
    pod.metadata.name = Some(format!("{prefix}{}", cx.random().name_suffix()));
    let message = format!("Created pod: {}", name(&pod));
    cx.create(&pod);
    cx.event(EventKind::Normal, "SuccessfulCreate", message);
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}
