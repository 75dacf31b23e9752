//! What an autoscaler is given that the user left out.

use serde_json::{Value, json};

use crate::resource::fill::{fill, object_at, present, set};
use crate::resource::read::size;

/// How busy pods are kept, in per cent of the processor they ask for.
const CPU_UTILIZATION: i64 = 80;

pub(super) fn autoscaler(object: &mut Value) {
    let Some(spec) = object_at(object, "spec") else { return };
    fill(spec, "minReplicas", 1);
    if size(spec, "/metrics") == 0 {
        set(spec, "metrics", json!([cpu_utilization(CPU_UTILIZATION)]));
    }
    let Some(behavior) = present(spec, "behavior") else { return };
    if let Some(up) = object_at(behavior, "scaleUp") {
        fill(up, "stabilizationWindowSeconds", 0);
        fill(up, "policies", json!([policy("Pods", 4), policy("Percent", 100)]));
        fill(up, "selectPolicy", "Max");
    }
    if let Some(down) = object_at(behavior, "scaleDown") {
        fill(down, "policies", json!([policy("Percent", 100)]));
        fill(down, "selectPolicy", "Max");
    }
}

/// A target for the use of the processor, in per cent.
pub(super) fn cpu_utilization(percent: i64) -> Value {
    json!({"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

fn policy(kind: &str, value: i64) -> Value {
    json!({"type": kind, "value": value, "periodSeconds": 15})
}
