//! ReplicaSets: so many pods of one template, always. The engine is [`sampan_podset::replicas`]; here is what makes it theirs.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
pub mod resource;
mod status;

use sampan_core::operator::{Context, Declaration, Operator, Wake};
use sampan_machine::Chart;
use sampan_podset::replicas;

pub use machine::{CHART, ReplicaSetMachine};

/// The ReplicaSet operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplicaSetOperator;

impl Operator for ReplicaSetOperator {
    type Machine = ReplicaSetMachine;

    fn chart(&self) -> &'static Chart {
        &CHART
    }

    fn machine(&self) -> ReplicaSetMachine {
        ReplicaSetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        replicas::declaration::<Self>("replicaset")
    }

    fn step(&self, machine: &mut ReplicaSetMachine, _wake: &Wake, cx: &mut Context<'_>) {
        replicas::step::<Self>(machine, cx);
    }
}
