//! `autoscaling/v1`: the version of before there was more to look at than the processor. What it has no field for is kept in
//! annotations, so that nothing is lost on the way there and back.

use serde_json::{Value, json};

use super::default::cpu_utilization;
use crate::resource::fill::{clear, object_at, present, set};
use crate::resource::read::{integer, text};

/// The field of version 1 for the use of the processor, in per cent.
const CPU_TARGET: &str = "targetCPUUtilizationPercentage";
const CPU_CURRENT: &str = "currentCPUUtilizationPercentage";
/// What of spec and status is kept in which annotation.
const KEPT: [(&str, &str, &str); 4] = [
    ("spec", "metrics", "autoscaling.alpha.kubernetes.io/metrics"),
    ("spec", "behavior", "autoscaling.alpha.kubernetes.io/behavior"),
    ("status", "currentMetrics", "autoscaling.alpha.kubernetes.io/current-metrics"),
    ("status", "conditions", "autoscaling.alpha.kubernetes.io/conditions"),
];

/// The stored object in version 1.
pub(super) fn to_v1(object: &mut Value) {
    for (part, list, percent_at, field) in [
        ("spec", "metrics", "/resource/target/averageUtilization", CPU_TARGET),
        ("status", "currentMetrics", "/resource/current/averageUtilization", CPU_CURRENT),
    ] {
        let Some(holder) = present(object, part) else { continue };
        let Some(Value::Array(metrics)) = holder.get_mut(list) else { continue };
        let is_cpu = |metric: &Value| text(metric, "/resource/name") == "cpu" && integer(metric, percent_at) > 0;
        let Some(place) = metrics.iter().position(is_cpu) else { continue };
        let percent = integer(&metrics.remove(place), percent_at);
        set(holder, field, percent);
    }
    for (part, field, annotation) in KEPT {
        let Some(holder) = present(object, part) else { continue };
        let kept = holder.get(field).filter(|kept| !is_empty(kept)).cloned();
        clear(holder, field);
        if let (Some(kept), Some(annotations)) = (kept, annotations(object)) {
            set(annotations, annotation, kept.to_string());
        }
    }
    if let Some(status) = object_at(object, "status") {
        let current = integer(status, "/currentReplicas");
        set(status, "currentReplicas", current);
    }
}

/// An object of version 1 as it is stored.
pub(super) fn from_v1(object: &mut Value) {
    for (part, field, annotation) in KEPT {
        let Some(annotations) = annotations(object) else { continue };
        let kept = annotations.get(annotation).and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
        let Some(kept): Option<Value> = kept else { continue };
        clear(annotations, annotation);
        if let Some(holder) = object_at(object, part) {
            set(holder, field, kept);
        }
    }
    let empty = annotations(object).is_some_and(|it| is_empty(it));
    if let (true, Some(metadata)) = (empty, present(object, "metadata")) {
        clear(metadata, "annotations");
    }
    let Some(spec) = present(object, "spec") else { return };
    let percent = spec.get(CPU_TARGET).and_then(Value::as_i64);
    clear(spec, CPU_TARGET);
    if let Some(percent) = percent {
        prepend(spec, "metrics", cpu_utilization(percent));
    }
    let Some(status) = present(object, "status") else { return };
    let percent = status.get(CPU_CURRENT).and_then(Value::as_i64);
    clear(status, CPU_CURRENT);
    if let Some(percent) = percent {
        let current = json!({"name": "cpu", "current": {"averageUtilization": percent}});
        prepend(status, "currentMetrics", json!({"type": "Resource", "resource": current}));
    }
}

fn annotations(object: &mut Value) -> Option<&mut Value> {
    object_at(object, "metadata").and_then(|metadata| object_at(metadata, "annotations"))
}

fn prepend(holder: &mut Value, list: &str, item: Value) {
    let mut items = vec![item];
    items.extend(holder.get(list).and_then(Value::as_array).into_iter().flatten().cloned());
    set(holder, list, items);
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way_to_version_1_and_back() {
        let stored = json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 3,
            "metrics": [cpu_utilization(50), {"type": "Pods", "pods": {"metric": {"name": "queue"}}}],
            "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}},
            "status": {"currentReplicas": 2, "desiredReplicas": 2, "conditions": [{"type": "AbleToScale"}]}});
        let mut spoken = stored.clone();
        to_v1(&mut spoken);
        assert_eq!(spoken["spec"], json!({"maxReplicas": 3, CPU_TARGET: 50}));
        assert_eq!(spoken["status"], json!({"currentReplicas": 2, "desiredReplicas": 2}));
        from_v1(&mut spoken);
        assert_eq!(spoken, stored);
    }
}
