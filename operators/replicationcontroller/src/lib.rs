//! ReplicationControllers: what ReplicaSets were before. The engine is the same, [`sampan_podset::replicas`]; here is what
//! makes it theirs.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod status;

use sampan_core::operator::{Context, Declaration, Operator, Wake};
use sampan_machine::Chart;
use sampan_podset::replicas;

pub use machine::{CHART, ReplicationControllerMachine};

/// The ReplicationController operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplicationControllerOperator;

impl Operator for ReplicationControllerOperator {
    type Machine = ReplicationControllerMachine;

    fn chart(&self) -> &'static Chart {
        &CHART
    }

    fn machine(&self) -> ReplicationControllerMachine {
        ReplicationControllerMachine::default()
    }

    fn declaration(&self) -> Declaration {
        replicas::declaration::<Self>("replicationcontroller")
    }

    fn step(&self, machine: &mut ReplicationControllerMachine, _wake: &Wake, cx: &mut Context<'_>) {
        replicas::step::<Self>(machine, cx);
    }
}
