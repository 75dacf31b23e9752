//! The status of a budget.

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use sampan_core::Timestamp;

use crate::plan::Count;

/// The condition that says whether pods may be evicted.
const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";

/// What it says of a count, and of pods that are still to leave.
pub(crate) fn status(
    budget: &PodDisruptionBudget,
    count: Count,
    disrupted: BTreeMap<String, Time>,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let (is_allowed, reason) = match count.allowed() {
        0 => ("False", "InsufficientPods"),
        _ => ("True", "SufficientPods"),
    };
    PodDisruptionBudgetStatus {
        conditions: Some(conditions(budget, (is_allowed, reason, ""), now)),
        current_healthy: count.healthy,
        desired_healthy: count.desired,
        disrupted_pods: Some(disrupted).filter(|disrupted| !disrupted.is_empty()),
        disruptions_allowed: count.allowed(),
        expected_pods: count.expected,
        observed_generation: budget.metadata.generation,
    }
}

/// What it says where nothing can be counted: nobody may be evicted, and the rest stays as it was.
pub(crate) fn failed(budget: &PodDisruptionBudget, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    PodDisruptionBudgetStatus {
        conditions: Some(conditions(budget, ("False", "SyncFailed", why), now)),
        disruptions_allowed: 0,
        observed_generation: budget.metadata.generation,
        ..budget.status.clone().unwrap_or_default()
    }
}

/// Those there are, with the one that says status, reason and message. Its time is that of the last change of its status.
fn conditions(budget: &PodDisruptionBudget, said: (&str, &str, &str), now: Timestamp) -> Vec<Condition> {
    let (status, reason, message) = said;
    let mut conditions = budget.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let known = conditions.iter().position(|condition| condition.type_ == DISRUPTION_ALLOWED);
    let before = known.and_then(|at| conditions.get(at)).filter(|condition| condition.status == status);
    let since = before.map_or_else(
        || Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        |condition| condition.last_transition_time.clone(),
    );
    let condition = Condition {
        type_: DISRUPTION_ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: budget.metadata.generation,
    };
    match known.and_then(|at| conditions.get_mut(at)) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
    conditions
}
