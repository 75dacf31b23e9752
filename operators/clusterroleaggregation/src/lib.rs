//! Cluster roles made of others: `admin`, `edit`, `view`, and whatever a user builds the same way.
//!
//! A cluster role with an `aggregationRule` selects other cluster roles by their labels. Their rules are written into it, so
//! that whoever reads the role sees all it allows, and whoever decides what is allowed needs to look at it alone.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;

use k8s_openapi::api::rbac::v1::ClusterRole;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Command, Context, Declaration, Kind as _, Mapping, Operator, Wake, WriteVerb};
use sampan_core::store::Snapshot;
use sampan_machine::Chart;

pub use machine::AggregationMachine;
use machine::Intent;
use plan::View;

/// The aggregation of cluster roles.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClusterRoleAggregation;

impl Operator for ClusterRoleAggregation {
    type Machine = AggregationMachine;

    fn chart(&self) -> &'static Chart {
        AggregationMachine::chart()
    }

    fn machine(&self) -> AggregationMachine {
        AggregationMachine::default()
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<ClusterRole>("clusterroleaggregation")
            .concerned_with(plan::is_aggregated)
            .watching::<ClusterRole>(Mapping::function(made_of))
            .writing::<ClusterRole>(WriteVerb::Update)
    }

    fn step(&self, machine: &mut AggregationMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(role) = cx.primary_object() else { return };
        let others = cx.objects(ClusterRole::RESOURCE, None);
        let (_, intents) = cx.observe(machine, View::of(&role, &others));
        for Intent::Write(rules) in intents {
            let object = plan::with_rules(role.value(), &rules);
            cx.command(Command::Update { key: cx.key().clone(), object });
        }
    }
}

/// The roles that are made of a changed one, among others.
fn made_of(changed: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let roles = snapshot.list(ClusterRole::RESOURCE, None, None);
    roles.filter(|role| plan::selects(role, changed)).map(|role| role.key().clone()).collect()
}
