//! Eviction: a deletion that asks the disruption budget first, and spends of it in the same commit.

use std::sync::Arc;

use serde_json::Value;

use super::preparation::Preparation;
use super::{DeleteOptions, Prepared, Unprepared};
use crate::object::{Draft, Object};
use crate::resource::pod_disruption_budget::{is_free, may_go_unhealthy, selects, spend};
use crate::resource::{POD_DISRUPTION_BUDGETS, pod};
use crate::status::Status;
use crate::store::{Change, Precondition, Put};

impl Preparation<'_> {
    pub(super) fn evict(self, options: &DeleteOptions) -> Result<Prepared, Unprepared> {
        let spent = self.spend_budget(self.existing()?)?;
        let now = self.now;
        let mut prepared = self.delete_with(options, |pod| pod::mark_evicted(pod, now))?;
        if !prepared.write.changes.is_empty() {
            prepared.write.changes.extend(spent);
        }
        Ok(prepared)
    }

    /// What the eviction costs the budget the pod falls under, where it costs anything.
    fn spend_budget(&self, pod: &Arc<Object>) -> Result<Option<Change>, Status> {
        let value = pod.value();
        if is_free(&value) {
            return Ok(None);
        }
        let beside = self.snapshot.list(POD_DISRUPTION_BUDGETS, pod.key().namespace.as_deref(), None);
        let mut budgets = beside.map(|budget| (budget, budget.value())).filter(|(_, budget)| selects(budget, pod));
        let Some((budget, mut spent)) = budgets.next() else { return Ok(None) };
        if budgets.next().is_some() {
            return Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        if may_go_unhealthy(&value, &spent) {
            return Ok(None);
        }
        spend(&mut spent, self.now)?;
        self.respent(budget, spent).map(Some)
    }

    fn respent(&self, budget: &Arc<Object>, spent: Value) -> Result<Change, Status> {
        let registry = self.gateway.registry();
        let definition = registry.definition(POD_DISRUPTION_BUDGETS);
        let fields = definition.map(|definition| definition.index_values(&spent)).unwrap_or_default();
        let draft =
            Draft::new(budget.key().clone(), spent, fields).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Change {
            key: budget.key().clone(),
            precondition: Precondition::Unchanged(budget.revision()),
            put: Put::Object(Box::new(draft)),
            conditions: Vec::new(),
        })
    }
}
