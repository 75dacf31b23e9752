//! HorizontalPodAutoscalers: more pods under load, fewer without.

mod columns;
mod convert;
mod default;
mod metric;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::set;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::object::{FieldError, ResourceType, names};
use crate::status::StatusCause;

/// The resource type.
pub const HORIZONTAL_POD_AUTOSCALERS: ResourceType = ResourceType::new("autoscaling", "horizontalpodautoscalers");

/// The longest an autoscaler waits before it acts on what it has seen, and the longest period of a policy, in seconds.
const STABILIZATION_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;

struct AutoscalerStrategy;

/// What a HorizontalPodAutoscaler is.
pub(super) fn definition() -> ResourceDefinition {
    let stored = ServedVersion::stored("autoscaling", "v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler");
    let older = ServedVersion {
        from_stored: Some(convert::to_v1),
        to_stored: Some(convert::from_v1),
        ..ServedVersion::stored("autoscaling", "v1", "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler")
    };
    let definition = ResourceDefinition::plain(
        HORIZONTAL_POD_AUTOSCALERS,
        "HorizontalPodAutoscaler",
        "horizontalpodautoscaler",
        stored.clone(),
        AutoscalerStrategy,
    );
    ResourceDefinition {
        short_names: &["hpa"],
        categories: &["all"],
        versions: vec![stored, older],
        has_status: true,
        ..definition
    }
}

impl Strategy for AutoscalerStrategy {
    fn default(&self, object: &mut Value) {
        default::autoscaler(object);
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({"desiredReplicas": 0, "currentMetrics": null}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        replicas(&spec, &mut faults);
        reference(&spec.at("scaleTargetRef"), &mut faults);
        metric::validate(&spec, &mut faults);
        for rules in spec.at("behavior").which(["scaleUp", "scaleDown"]) {
            scaling_rules(&rules, &mut faults);
        }
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for count in ["currentReplicas", "desiredReplicas"] {
            faults.nonnegative(&Field::root(object).at("status").at(count));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        columns::columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        columns::cells(object, now)
    }
}

fn replicas(spec: &Field<'_>, faults: &mut Faults) {
    let (least, most) = (spec.at("minReplicas"), spec.at("maxReplicas"));
    let number = most.number().unwrap_or_default();
    if least.number().is_some_and(|least| least < 1) {
        faults.invalid(&least, "must be greater than or equal to 1");
    }
    let mut wrong = |why| faults.errors.push(FieldError::invalid(most.path.clone(), number, why));
    if number < 1 {
        wrong("must be greater than 0");
    }
    if least.number().is_some_and(|least| number < least) {
        wrong("must be greater than or equal to `minReplicas`");
    }
}

/// An object in whatever version.
fn reference(reference: &Field<'_>, faults: &mut Faults) {
    faults.required_rule(&reference.at("kind"), names::path_segment);
    faults.required_rule(&reference.at("name"), names::path_segment);
    let version = reference.at("apiVersion");
    if version.text().matches('/').count() > 1 {
        faults.invalid(&version, format!("unexpected GroupVersion string: {}", version.text()));
    }
}

fn scaling_rules(rules: &Field<'_>, faults: &mut Faults) {
    let (window, policies) = (rules.at("stabilizationWindowSeconds"), rules.at("policies"));
    match window.number() {
        Some(..0) => faults.invalid(&window, "must be greater than or equal to zero"),
        Some(seconds) if seconds > STABILIZATION_SECONDS_MAX => {
            faults.invalid(&window, format!("must be less than or equal to {STABILIZATION_SECONDS_MAX}"));
        }
        _ => {}
    }
    faults.one_of_if_set(&rules.at("selectPolicy"), &["Disabled", "Max", "Min"]);
    if policies.count() == 0 {
        faults.required(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let (value, period) = (policy.at("value"), policy.at("periodSeconds"));
        faults.one_of_if_set(&policy.at("type"), &["Percent", "Pods"]);
        for number in [&value, &period] {
            if number.number().is_some_and(|number| number <= 0) {
                faults.invalid(number, "must be greater than zero");
            }
        }
        if period.number().is_some_and(|seconds| seconds > PERIOD_SECONDS_MAX) {
            faults.invalid(&period, format!("must be less than or equal to {PERIOD_SECONDS_MAX}"));
        }
    }
    let tolerance = rules.at("tolerance");
    if tolerance.quantity().is_some_and(|tolerance| tolerance.is_negative()) {
        faults.invalid(&tolerance, "must be greater than or equal to 0");
    }
}
