//! What pods use: each of their containers that runs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{GROUP, Measure, about, columns, usage};
use crate::object::{Object, Quantity, ResourceType};
use crate::resource::fill::set;
use crate::resource::read::{items, text};
use crate::resource::{Cell, Column, PODS, ResourceDefinition, Strategy};

struct PodMetrics;

pub(super) fn definition() -> ResourceDefinition {
    let names = ["PodMetrics", "podmetrics", "io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics"];
    super::definition(ResourceType::new(GROUP, "pods"), names, PodMetrics, PodMetrics)
}

impl Measure for PodMetrics {
    fn subject(&self) -> ResourceType {
        PODS
    }

    fn node(&self, subject: &Object) -> Option<String> {
        subject.field("spec.nodeName").filter(|node| !node.is_empty()).map(str::to_owned)
    }

    fn uri(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let named = [("namespace", namespace), ("pod", name)];
        let given: Vec<String> =
            named.iter().filter_map(|(field, value)| Some(format!("{field}={}", (*value)?))).collect();
        format!("/stats/summary?{}", given.join("&"))
    }

    fn measured(&self, subject: &Object, answer: &Value, now: Timestamp) -> Option<Value> {
        let uid = subject.metadata().uid.to_string();
        let entry = items(answer, "/pods").find(|entry| text(entry, "/podRef/uid") == uid)?;
        let mut metrics = about("PodMetrics", subject, items(entry, "/containers").next()?, now)?;
        let containers = items(entry, "/containers")
            .map(|container| Some(json!({ "name": text(container, "/name"), "usage": usage(container)? })));
        set(&mut metrics, "containers", containers.collect::<Option<Vec<Value>>>()?);
        Some(metrics)
    }
}

impl Strategy for PodMetrics {
    fn columns(&self) -> Vec<Column> {
        columns()
    }

    fn cells(&self, object: &Value, _: Timestamp) -> Vec<Cell> {
        let sum = |resource: &str| {
            let amounts = items(object, "/containers").map(|container| text(container, resource));
            let amounts = amounts.filter_map(|amount| Quantity::parse(amount).ok());
            amounts.fold(Quantity::ZERO, |sum, amount| sum.plus(&amount)).canonical()
        };
        vec![sum("/usage/cpu").into(), sum("/usage/memory").into(), text(object, "/window").into()]
    }
}
