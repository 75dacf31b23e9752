//! What `kubectl get` shows of an autoscaler.

use jiff::Timestamp;
use serde_json::Value;

use crate::resource::read::{integer, items, text};
use crate::resource::table::{NONE, UNKNOWN, age};
use crate::resource::{Cell, Column};

/// So many metrics are shown in a table.
const SHOWN_METRICS_MAX: usize = 2;

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::text("Reference", "What it scales."),
        Column::text("Targets", "What is seen of each metric, and what is aimed at."),
        Column::text("MinPods", "The fewest pods."),
        Column::text("MaxPods", "The most pods."),
        Column::text("Replicas", "The pods there are."),
        Column::age(),
    ]
}

pub(super) fn cells(object: &Value, now: Timestamp) -> Vec<Cell> {
    let target = |field: &str| text(object, &format!("/spec/scaleTargetRef/{field}"));
    let least = object.pointer("/spec/minReplicas").and_then(Value::as_i64);
    vec![
        format!("{}/{}", target("kind"), target("name")).into(),
        metrics(object).into(),
        least.map_or("<unset>".to_owned(), |least| least.to_string()).into(),
        integer(object, "/spec/maxReplicas").into(),
        integer(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

fn metrics(object: &Value) -> String {
    let seen: Vec<&Value> = items(object, "/status/currentMetrics").collect();
    let shown =
        items(object, "/spec/metrics").enumerate().map(|(place, metric)| shown(metric, seen.get(place).copied()));
    let shown: Vec<String> = shown.collect();
    let first = shown.iter().take(SHOWN_METRICS_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match shown.len() {
        0 => NONE.to_owned(),
        count if count > SHOWN_METRICS_MAX => format!("{first} + {} more...", count - SHOWN_METRICS_MAX),
        _ => first,
    }
}

fn shown(metric: &Value, seen: Option<&Value>) -> String {
    let kind = text(metric, "/type");
    let mut letters = kind.chars();
    let source: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    let of = |value: &Value, path: &str| value.pointer(&format!("/{source}/{path}")).and_then(amount);
    let current = |path: &str| seen.and_then(|seen| of(seen, path)).unwrap_or_else(|| UNKNOWN.to_owned());
    let prefix = match kind {
        "Resource" | "ContainerResource" => format!("{}: ", text(metric, &format!("/{source}/name"))),
        "Pods" | "Object" | "External" => String::new(),
        _ => return "<unknown type>".to_owned(),
    };
    if let Some(aim) = of(metric, "target/averageValue") {
        let suffix = if matches!(kind, "Object" | "External") { " (avg)" } else { "" };
        return format!("{prefix}{}/{aim}{suffix}", current("current/averageValue"));
    }
    if prefix.is_empty() {
        return format!("{}/{}", current("current/value"), of(metric, "target/value").unwrap_or_default());
    }
    let percent = |value: Option<String>, nothing: &str| value.map_or(nothing.to_owned(), |it| format!("{it}%"));
    let now = percent(seen.and_then(|seen| of(seen, "current/averageUtilization")), UNKNOWN);
    format!("{prefix}{now}/{}", percent(of(metric, "target/averageUtilization"), "<auto>"))
}

fn amount(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
