//! The Deployment operator: ReplicaSets, one for each pod template, and the way from one to the next.
//!
//! Pods belong to ReplicaSets; a Deployment only makes and sizes those. A rollout grows the present template's set and
//! shrinks the others, within `maxSurge` and `maxUnavailable`, at every revision of the store.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod resource;
mod set;
mod status;
mod view;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use sampan_core::gateway::{DeleteOptions, Propagation};
use sampan_core::object::ObjectKey;
use sampan_core::object::selector::Selector;
use sampan_core::operator::{Context, Declaration, EventKind, Kind, Mapping, Operator, Wake, WriteVerb};
use sampan_machine::Chart;
use sampan_podset::{adopted, released};

pub use machine::DeploymentMachine;
pub use resource::definition;

use crate::machine::Intent;
use crate::plan::Resize;
use crate::view::{REVISION, Reading, View};

/// The Event that tells of a ReplicaSet's new size.
const SCALED: &str = "ScalingReplicaSet";

/// The operator of Deployments.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeploymentOperator;

impl Operator for DeploymentOperator {
    type Machine = DeploymentMachine;

    fn chart(&self) -> &'static Chart {
        DeploymentMachine::chart()
    }

    fn machine(&self) -> DeploymentMachine {
        DeploymentMachine::default()
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<Deployment>("deployment")
            .watching::<ReplicaSet>(Mapping::Owner)
            .watching::<ReplicaSet>(Mapping::SelectedBy("/spec/selector"))
            .writing::<ReplicaSet>(WriteVerb::Create)
            .writing::<ReplicaSet>(WriteVerb::Update)
            .writing::<ReplicaSet>(WriteVerb::Delete)
            .writing::<Deployment>(WriteVerb::Update)
            .writing::<Deployment>(WriteVerb::UpdateStatus)
    }

    fn step(&self, machine: &mut DeploymentMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        if let Some(at) = view.next_look() {
            cx.wake_after(at.duration_since(view.now).unsigned_abs());
        }
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let deployment = cx.primary::<Deployment>()?;
    let namespace = deployment.metadata.namespace.clone().unwrap_or_default();
    let reading = Reading {
        now: cx.now(),
        owned: cx.owned::<ReplicaSet>(),
        matching: selector_of(&deployment).map(|selector| cx.matching::<ReplicaSet>(&namespace, &selector)),
        refusal: refusal(cx),
        deployment,
    };
    Some(View::new(reading, |name| {
        cx.get::<ReplicaSet>(&ObjectKey::namespaced(ReplicaSet::RESOURCE, &namespace, name)).is_some()
    }))
}

/// Why the ReplicaSet that the step before wanted may not be created.
fn refusal(cx: &Context<'_>) -> Option<String> {
    let refused = cx.refusal().filter(|it| it.verb == WriteVerb::Create && it.resource == ReplicaSet::RESOURCE);
    refused.map(|it| it.status.message.clone())
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Adopt(set) => cx.update(&adopted(&*set, &*view.deployment)),
        Intent::Release(set) => cx.update(&released(&*set, &*view.deployment)),
        Intent::CreateSet(size) => create(size, view, cx),
        // The status beside it counts.
        Intent::CountCollision => {}
        Intent::ReportRefusal(message) => cx.event(EventKind::Warning, status::REASON_REFUSED, message),
        Intent::Resize(resize) => self::resize(&resize, view, cx),
        Intent::Forget(name) => {
            if let Some(set) = view.set_named(&name) {
                let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
                cx.delete(&**set, options);
            }
        }
        Intent::Renew(set) => cx.update(&set::renewed(view, &set)),
        Intent::SayRevision => {
            let mut deployment = Deployment::clone(&view.deployment);
            let annotations = deployment.metadata.annotations.get_or_insert_default();
            annotations.insert(REVISION.to_owned(), view.revision().to_string());
            cx.update(&deployment);
        }
        Intent::WriteStatus(status) => {
            let mut deployment = Deployment::clone(&view.deployment);
            deployment.status = Some(*status);
            cx.update_status(&deployment);
        }
    }
}

fn create(size: i32, view: &View, cx: &mut Context<'_>) {
    cx.create(&set::created(view, size));
    if size > 0 {
        let text = format!("Scaled up replica set {} from 0 to {size}", view.new_set_name());
        cx.event(EventKind::Normal, SCALED, text);
    }
}

fn resize(resize: &Resize, view: &View, cx: &mut Context<'_>) {
    let Some(set) = view.set_named(&resize.name) else { return };
    cx.update(&set::resized(view, set, resize.to));
    let direction = if resize.to > resize.from { "up" } else { "down" };
    let text = format!("Scaled {direction} replica set {} from {} to {}", resize.name, resize.from, resize.to);
    cx.event(EventKind::Normal, SCALED, text);
}

/// The selector of a Deployment; `None` where it does not say which pods are meant.
fn selector_of(deployment: &Deployment) -> Option<Selector> {
    let selector = &deployment.spec.as_ref()?.selector;
    let value = serde_json::to_value(selector).ok()?;
    Selector::from_value(&value).filter(|selector| !selector.requirements.is_empty())
}
