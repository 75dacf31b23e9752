//! The Deployment operator: ReplicaSets, one for each pod template, and the way from one to the next.
//!
//! Pods belong to ReplicaSets; a Deployment only makes and sizes those. A rollout grows the present template's set and
//! shrinks the others, within `maxSurge` and `maxUnavailable`, at every revision of the store.

mod apply;
#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod resource;
mod status;
mod view;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use sampan_core::object::ObjectKey;
use sampan_core::object::selector::Selector;
use sampan_core::operator::{Context, Declaration, Kind, Mapping, Operator, Wake, WriteVerb};
use sampan_machine::Chart;

pub use machine::DeploymentMachine;
pub use resource::definition;

use crate::view::View;

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
        let Some(deployment) = cx.primary::<Deployment>() else { return };
        if apply::adopt(cx, &deployment) {
            // What was adopted or let go is seen by the next step.
            return;
        }
        let view = look(cx, deployment);
        let (view, intents) = cx.observe(machine, view);
        apply::carry_out(cx, &view, &intents);
        apply::say_what_is_waited_for(cx, &view);
    }
}

fn look(cx: &mut Context<'_>, deployment: Arc<Deployment>) -> View {
    let controlled = apply::controlled(cx, &deployment);
    let namespace = deployment.metadata.namespace.clone().unwrap_or_default();
    let now = cx.now();
    let mut taken = |name: &str| {
        let key = ObjectKey::namespaced(ReplicaSet::RESOURCE, &namespace, name);
        cx.get::<ReplicaSet>(&key).is_some()
    };
    View::new(now, deployment, controlled, &mut taken)
}

/// The selector of a Deployment; `None` where it does not say which pods are meant.
fn selector_of(deployment: &Deployment) -> Option<Selector> {
    let selector = &deployment.spec.as_ref()?.selector;
    let value = serde_json::to_value(selector).ok()?;
    Selector::from_value(&value).filter(|selector| !selector.requirements.is_empty())
}
