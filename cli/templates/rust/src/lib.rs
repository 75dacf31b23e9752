//! The operator of ShipGreetings: each keeps a ConfigMap with its message.

pub mod conformance;
mod machine;
mod plan;
mod resource;

use k8s_openapi::api::core::v1::ConfigMap;
use sampan::core::operator::{Context, Declaration, Mapping, Operator, Wake, WriteVerb};
use sampan::core::resource::ResourceDefinition;
use sampan::machine::Chart;

pub use machine::GreetingMachine;
use machine::Intent;
use plan::View;
pub use resource::ShipGreeting;

/// The resource type, as `kind.yaml` defines it.
///
/// # Panics
/// When `kind.yaml` defines none: then every test fails.
pub fn kinds() -> Vec<ResourceDefinition> {
    sampan::kinds(include_str!("../kind.yaml")).expect("kind.yaml defines the kind")
}

/// Keeps a ConfigMap with the message of each ShipGreeting.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShipGreetingOperator;

impl Operator for ShipGreetingOperator {
    type Machine = GreetingMachine;

    fn chart(&self) -> &'static Chart {
        GreetingMachine::chart()
    }

    fn machine(&self) -> GreetingMachine {
        GreetingMachine::default()
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<ShipGreeting>("ship-greeting")
            .watching::<ConfigMap>(Mapping::Owner)
            .writing::<ConfigMap>(WriteVerb::Create)
            .writing::<ConfigMap>(WriteVerb::Update)
            .writing::<ConfigMap>(WriteVerb::Delete)
            .writing::<ShipGreeting>(WriteVerb::UpdateStatus)
    }

    fn step(&self, machine: &mut GreetingMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(greeting) = cx.primary::<ShipGreeting>() else { return };
        if greeting.metadata.deletion_timestamp.is_some() {
            // What it owns goes with it.
            return;
        }
        let map = cx.owned::<ConfigMap>().into_iter().next();
        let (view, intents) = cx.observe(machine, View { greeting, map });
        for Intent::Bring in intents {
            match cx.refusal().map(|refused| refused.status.message.clone()) {
                None => view.bring(cx),
                // It is tried again later; until then `why` tells what keeps it.
                Some(refusal) => cx.trace().waiting_for("the API server lets it write its ConfigMap", refusal, None),
            }
        }
        cx.update_status(&view.told());
    }
}
