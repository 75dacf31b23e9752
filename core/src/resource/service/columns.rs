//! What `kubectl get` shows of a Service.

use jiff::Timestamp;
use serde_json::Value;

use crate::resource::address::shown_load_balancers;
use crate::resource::read::{integer, items, text};
use crate::resource::table::{NONE, UNKNOWN, age, or_none};
use crate::resource::workload::shown_selector;
use crate::resource::{Cell, Column};

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::text("Type", "How it is reached."),
        Column::text("Cluster-IP", "Its address in the cluster."),
        Column::text("External-IP", "Its addresses outside of the cluster."),
        Column::text("Port(s)", "Its ports."),
        Column::age(),
        Column::text("Selector", "The labels of its pods.").wide(),
    ]
}

pub(super) fn cells(service: &Value, now: Timestamp) -> Vec<Cell> {
    vec![
        text(service, "/spec/type").into(),
        or_none(text(service, "/spec/clusterIPs/0")),
        external(service).into(),
        or_none(&ports(service)),
        age(service, now),
        shown_selector(service.pointer("/spec/selector").unwrap_or(&Value::Null)),
    ]
}

fn external(service: &Value) -> String {
    let own: Vec<String> = items(service, "/spec/externalIPs").filter_map(Value::as_str).map(str::to_owned).collect();
    let (balanced, nothing) = match text(service, "/spec/type") {
        "LoadBalancer" => (shown_load_balancers(service), "<pending>"),
        "ClusterIP" | "NodePort" => (Vec::new(), NONE),
        "ExternalName" => return text(service, "/spec/externalName").to_owned(),
        _ => return UNKNOWN.to_owned(),
    };
    match [balanced, own].concat().join(",") {
        none if none.is_empty() => nothing.to_owned(),
        some => some,
    }
}

fn ports(service: &Value) -> String {
    let shown = items(service, "/spec/ports").map(|port| {
        let (number, protocol) = (integer(port, "/port"), text(port, "/protocol"));
        match integer(port, "/nodePort") {
            0 => format!("{number}/{protocol}"),
            node_port => format!("{number}:{node_port}/{protocol}"),
        }
    });
    shown.collect::<Vec<_>>().join(",")
}
