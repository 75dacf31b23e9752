//! PodDisruptionBudgets: how many pods may be taken away at once.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{object_at, set};
use super::label_selector::validate_label_selector;
use super::read::{integer, items, size, text};
use super::table::age;
use super::workload::{validate_at_most_all, validate_count_or_percent};
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::object::selector::Selector;
use crate::object::{Object, ResourceType};
use crate::status::{Status, StatusCause, StatusDetails};

/// The resource type.
pub const POD_DISRUPTION_BUDGETS: ResourceType = ResourceType::new("policy", "poddisruptionbudgets");

/// The numbers of pods in a status.
const COUNTS: [&str; 4] = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];

/// Evictions a status may tell of that nobody has seen the end of: beyond it none is allowed.
const DISRUPTED_PODS_MAX: usize = 2000;

struct BudgetStrategy;

/// What a PodDisruptionBudget is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("policy", "v1", "io.k8s.api.policy.v1.PodDisruptionBudget");
    ResourceDefinition {
        short_names: &["pdb"],
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(
            POD_DISRUPTION_BUDGETS,
            "PodDisruptionBudget",
            "poddisruptionbudget",
            version,
            BudgetStrategy,
        )
    }
}

impl Strategy for BudgetStrategy {
    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        let counts = COUNTS.iter().map(|name| ((*name).to_owned(), json!(0)));
        set(object, "status", counts.collect::<serde_json::Map<_, _>>());
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        let limits = spec.which(["minAvailable", "maxUnavailable"]);
        if limits.len() > 1 {
            faults.invalid(&spec, "minAvailable and maxUnavailable cannot be both set");
        }
        for limit in limits {
            validate_count_or_percent(&limit, &mut faults);
            validate_at_most_all(&limit, &mut faults);
        }
        validate_label_selector(&spec.at("selector"), &mut faults);
        faults.one_of_if_set(&spec.at("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for count in COUNTS {
            faults.nonnegative(&Field::root(object).at("status").at(count));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Min Available", "Pods that must be available."),
            Column::text("Max Unavailable", "Pods that may be unavailable."),
            Column::integer("Allowed Disruptions", "Pods that may be taken away now."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let limit = |pointer: &str| match object.pointer(pointer) {
            Some(Value::String(percent)) => percent.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => "N/A".to_owned(),
        };
        vec![
            limit("/spec/minAvailable").into(),
            limit("/spec/maxUnavailable").into(),
            integer(object, "/status/disruptionsAllowed").into(),
            age(object, now),
        ]
    }
}

/// Which pods a budget is for. Without a selector it is for none, with an empty one for all.
pub fn selector(budget: &Value) -> Option<Selector> {
    budget.pointer("/spec/selector").and_then(Selector::from_value)
}

/// Whether a pod falls under a budget.
pub(crate) fn selects(budget: &Value, pod: &Object) -> bool {
    selector(budget).is_some_and(|selector| selector.matches(&pod.metadata().labels))
}

/// Whether a pod's eviction disrupts nothing: it does not run, or it is going already.
pub(crate) fn is_free(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed" | "Pending")
        || !text(pod, "/metadata/deletionTimestamp").is_empty()
}

/// Whether a pod that is not ready may go, whatever the budget allows.
pub(crate) fn may_go_unhealthy(pod: &Value, budget: &Value) -> bool {
    let is_ready = |condition: &Value| text(condition, "/type") == "Ready" && text(condition, "/status") == "True";
    if items(pod, "/status/conditions").any(is_ready) {
        return false;
    }
    let (healthy, desired) = health(budget);
    text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow" || (healthy >= desired && desired > 0)
}

/// Takes one eviction off what a budget allows.
///
/// # Errors
/// Where it allows none, or does not say yet.
pub(crate) fn spend(budget: &mut Value, now: Timestamp) -> Result<(), Status> {
    let name = text(budget, "/metadata/name").to_owned();
    if integer(budget, "/status/observedGeneration") < integer(budget, "/metadata/generation") {
        return Err(refusal(10, format!("The disruption budget {name} is still being processed by the server.")));
    }
    if size(budget, "/status/disruptedPods") > DISRUPTED_PODS_MAX {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(format!("poddisruptionbudgets.policy \"{name}\" is forbidden: {why}")));
    }
    let allowed = integer(budget, "/status/disruptionsAllowed");
    if allowed <= 0 {
        return Err(refusal(0, why_none(budget, &name)));
    }
    let Some(status) = object_at(budget, "status") else { return Ok(()) };
    set(status, "disruptionsAllowed", allowed - 1);
    if allowed == 1 {
        say_spent(budget, now);
    }
    Ok(())
}

/// How many pods are healthy, and how many must be.
fn health(budget: &Value) -> (i64, i64) {
    (integer(budget, "/status/currentHealthy"), integer(budget, "/status/desiredHealthy"))
}

fn why_none(budget: &Value, name: &str) -> String {
    let failed = items(budget, "/status/conditions").find(|condition| text(condition, "/reason") == "SyncFailed");
    let (healthy, desired) = health(budget);
    match failed {
        Some(condition) => {
            let why = text(condition, "/message");
            format!("The disruption budget {name} does not allow evicting pods currently because it failed sync: {why}")
        }
        None if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

/// The last eviction was spent: the condition says so, before the budget is looked at anew.
fn say_spent(budget: &mut Value, now: Timestamp) {
    let conditions = budget.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    let allowed = |condition: &&mut Value| text(condition, "/type") == "DisruptionAllowed";
    let Some(condition) = conditions.into_iter().flatten().find(allowed) else { return };
    let since = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    for (field, value) in [("status", "False"), ("reason", "InsufficientPods"), ("lastTransitionTime", &*since)] {
        set(condition, field, value);
    }
}

/// The answer to an eviction that is not allowed: whoever asks comes back.
fn refusal(retry_after_seconds: u32, why: String) -> Status {
    let cause = StatusCause { reason: "DisruptionBudget".into(), message: why, field: String::new() };
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.")
        .with_details(StatusDetails { causes: vec![cause], retry_after_seconds, ..StatusDetails::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64, observed: i64) -> Value {
        json!({
            "metadata": {"name": "web", "generation": 2}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {
                "observedGeneration": observed, "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2,
                "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods"}],
            },
        })
    }

    #[test]
    fn a_budget_is_spent_one_by_one_until_nothing_is_left() {
        let mut spent = budget(2, 2);
        spend(&mut spent, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(spent["status"]["conditions"][0]["status"], "True");
        spend(&mut spent, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(spent["status"]["disruptionsAllowed"], 0);
        assert_eq!(spent["status"]["conditions"][0]["reason"], "InsufficientPods");
        let refused = spend(&mut spent, Timestamp::UNIX_EPOCH).unwrap_err();
        let cause = &refused.details.unwrap().causes[0];
        assert_eq!((refused.code, &*cause.reason), (429, "DisruptionBudget"));
        assert!(cause.message.ends_with("web needs 2 healthy pods and has 2 currently"), "{}", cause.message);
    }

    #[test]
    fn a_budget_nobody_has_looked_at_yet_allows_nothing() {
        let refused = spend(&mut budget(2, 1), Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(refused.details.unwrap().retry_after_seconds, 10);
    }

    #[test]
    fn a_pod_that_is_not_ready_may_go_where_enough_others_are() {
        let pod = |ready: &str| json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
        assert!(!may_go_unhealthy(&pod("True"), &budget(0, 2)));
        assert!(may_go_unhealthy(&pod("False"), &budget(0, 2)));
        let mut short = budget(0, 2);
        short["status"]["currentHealthy"] = json!(1);
        assert!(!may_go_unhealthy(&pod("False"), &short));
        short["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        assert!(may_go_unhealthy(&pod("False"), &short));
    }
}
