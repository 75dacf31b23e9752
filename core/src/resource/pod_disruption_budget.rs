//! PodDisruptionBudgets: how many pods may be taken away at once.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::set;
use super::label_selector::validate_label_selector;
use super::read::integer;
use super::table::age;
use super::workload::{validate_at_most_all, validate_count_or_percent};
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::object::ResourceType;
use crate::status::StatusCause;

/// The resource type.
pub const POD_DISRUPTION_BUDGETS: ResourceType = ResourceType::new("policy", "poddisruptionbudgets");

/// The numbers of pods in a status.
const COUNTS: [&str; 4] = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];

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
