//! Rolls a Deployment when the ConfigMap it names changes.
//!
//! A Deployment annotated with `example.com/config-map: settings` gets the checksum of what that ConfigMap holds as an annotation
//! of its pods. Another checksum is another template: the Deployment rolls, and its pods start with the new configuration.

pub mod conformance;
mod machine;
mod plan;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use sampan::core::object::{Object, ObjectKey};
use sampan::core::operator::{Context, Declaration, Kind as _, Mapping, Operator, Wake, WriteVerb};
use sampan::core::store::Snapshot;
use sampan::machine::Chart;

use machine::Intent;
pub use machine::RolloutMachine;
use plan::View;

/// Rolls Deployments when their ConfigMaps change.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConfigRollout;

impl Operator for ConfigRollout {
    type Machine = RolloutMachine;

    fn chart(&self) -> &'static Chart {
        RolloutMachine::chart()
    }

    fn machine(&self) -> RolloutMachine {
        RolloutMachine::default()
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<Deployment>("configrollout")
            .watching::<ConfigMap>(Mapping::function(resting_on))
            .writing::<Deployment>(WriteVerb::Update)
    }

    fn step(&self, machine: &mut RolloutMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(deployment) = cx.primary::<Deployment>() else { return };
        let map = plan::map_of(&deployment).and_then(|key| cx.get::<ConfigMap>(&key));
        let (view, intents) = cx.observe(machine, View { deployment, map });
        view.wait(cx.trace());
        for Intent::Roll in intents {
            cx.update(&view.rolled());
        }
    }
}

/// The Deployments that rest on a ConfigMap.
fn resting_on(map: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let beside = snapshot.list(Deployment::RESOURCE, map.key().namespace.as_deref(), None);
    let rests = |object: &Object| {
        let deployment = object.decode::<Deployment>().ok();
        deployment.and_then(|deployment| plan::map_of(&deployment)).as_ref() == Some(map.key())
    };
    beside.filter(|object| rests(object)).map(|object| object.key().clone()).collect()
}
