//! PodDisruptionBudgets: how many of the pods each selects may be evicted now.
//!
//! What a budget allows is told in its status; who evicts a pod spends of it there, in the commit that deletes the pod. How
//! many pods are expected is said by those who control them, as in
//! <https://kubernetes.io/docs/tasks/run-application/configure-pdb/>.

#[cfg(feature = "conformance")]
pub mod conformance;
mod expectation;
mod machine;
mod plan;
mod status;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::POD_DISRUPTION_BUDGETS;
use sampan_core::resource::pod_disruption_budget::selector;
use sampan_core::store::Snapshot;
use sampan_machine::Chart;

pub use machine::BudgetMachine;
use machine::Intent;
use plan::View;

/// The operator of disruption budgets.
#[derive(Debug, Clone, Copy, Default)]
pub struct BudgetOperator;

impl Operator for BudgetOperator {
    type Machine = BudgetMachine;

    fn chart(&self) -> &'static Chart {
        BudgetMachine::chart()
    }

    fn machine(&self) -> BudgetMachine {
        BudgetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<PodDisruptionBudget>("poddisruptionbudget")
            .watching::<Pod>(Mapping::function(selecting))
            .watching::<ReplicationController>(Mapping::function(beside))
            .watching::<ReplicaSet>(Mapping::function(beside))
            .watching::<Deployment>(Mapping::function(beside))
            .watching::<StatefulSet>(Mapping::function(beside))
            .writing::<PodDisruptionBudget>(WriteVerb::UpdateStatus);
        declaration.event_source = Some("controllermanager");
        declaration
    }

    fn step(&self, machine: &mut BudgetMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        if let Some(at) = view.next_expiry {
            cx.wake_after(std::time::Duration::try_from(at.duration_since(cx.now())).unwrap_or_default());
        }
        for intent in intents {
            match intent {
                Intent::WriteStatus => cx.update_status(&view.with_status()),
                Intent::Tell(kind, reason, message) => cx.event(kind, reason, message),
            }
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let budget = cx.primary::<PodDisruptionBudget>()?;
    let namespace = cx.key().namespace.clone().unwrap_or_default();
    let pods = match selector(&cx.primary_object()?.value()) {
        Some(selector) => cx.matching::<Pod>(&namespace, &selector),
        None => Vec::new(),
    };
    let expected = match plan::depends_on_controllers(&budget) {
        true => expectation::expected(&pods, cx),
        false => Ok(expectation::Expected::of(&pods)),
    };
    Some(View::new(budget, &pods, expected, cx.now()))
}

/// The budgets that select a pod.
fn selecting(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let budgets = snapshot.list(POD_DISRUPTION_BUDGETS, pod.key().namespace.as_deref(), None);
    let selects = |budget: &Object| selector(&budget.value()).is_some_and(|it| it.matches(&pod.metadata().labels));
    budgets.filter(|budget| selects(budget)).map(|budget| budget.key().clone()).collect()
}

/// The budgets in the namespace of someone who controls pods: its pods may carry labels its template no longer has.
fn beside(controller: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let budgets = snapshot.list(POD_DISRUPTION_BUDGETS, controller.key().namespace.as_deref(), None);
    budgets.map(|budget| budget.key().clone()).collect()
}
