//! What nodes use.

use jiff::Timestamp;
use serde_json::Value;

use super::{GROUP, Measure, about, columns, usage};
use crate::object::{Object, ResourceType};
use crate::resource::fill::set;
use crate::resource::read::text;
use crate::resource::{Cell, Column, NODES, ResourceDefinition, Scope, Strategy};

struct NodeMetrics;

pub(super) fn definition() -> ResourceDefinition {
    let names = ["NodeMetrics", "nodemetrics", "io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetrics"];
    let resource = ResourceType::new(GROUP, "nodes");
    ResourceDefinition { scope: Scope::Cluster, ..super::definition(resource, names, NodeMetrics, NodeMetrics) }
}

impl Measure for NodeMetrics {
    fn subject(&self) -> ResourceType {
        NODES
    }

    fn node(&self, subject: &Object) -> Option<String> {
        Some(subject.key().name.to_string())
    }

    fn uri(&self, _: Option<&str>, _: Option<&str>) -> String {
        "/stats/summary?pods=false".to_owned()
    }

    fn measured(&self, subject: &Object, answer: &Value, now: Timestamp) -> Option<Value> {
        let entry = answer.get("node")?;
        let mut metrics = about("NodeMetrics", subject, entry, now)?;
        set(&mut metrics, "usage", usage(entry)?);
        Some(metrics)
    }
}

impl Strategy for NodeMetrics {
    fn columns(&self) -> Vec<Column> {
        columns()
    }

    fn cells(&self, object: &Value, _: Timestamp) -> Vec<Cell> {
        ["/usage/cpu", "/usage/memory", "/window"].map(|pointer| text(object, pointer).into()).into()
    }
}
