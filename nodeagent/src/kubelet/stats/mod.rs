//! `/stats/summary`: what the node and its containers use, as the kubelet tells it.
//!
//! `namespace` and `pod` leave out other pods, `pods=false` leaves out all. Beside `usageNanoCores` stands the time it is averaged over,
//! `windowNanoSeconds`, which the kubelet does not tell.

mod meter;
mod source;

use std::collections::BTreeMap;

use http::Response;
use serde_json::{Value, json};

pub(super) use self::meter::Meter;
use self::meter::{Subject, Usage};
use super::{Body, KubeletApi, Query, Refused, json as answer};
use crate::pod::{ContainerRecord, Situation};

impl KubeletApi {
    pub(super) async fn stats(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let pods = self.pods_asked_for(query).await;
        let running = pods.iter().flat_map(running).map(|run| Subject::Container(run.id.clone()));
        let subjects: Vec<Subject> = std::iter::once(Subject::Machine).chain(running).collect();
        let used = self.meter.measure(self.docker.as_deref(), &subjects).await;
        let mut node = json!({ "nodeName": self.node });
        if let Some(usage) = used.get(&Subject::Machine) {
            tell(&mut node, usage);
        }
        let pods: Vec<Value> = pods.iter().map(|pod| pod_stats(pod, &used)).collect();
        Ok(answer(&json!({ "node": node, "pods": pods })))
    }

    async fn pods_asked_for(&self, query: &Query) -> Vec<Situation> {
        if query.get("pods") == Some("false") {
            return Vec::new();
        }
        let mut pods = self.asker.pods(&self.node).await;
        let is_wanted = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
        pods.retain(|pod| {
            let (namespace, name) = pod.identity();
            is_wanted("namespace", namespace) && is_wanted("pod", name)
        });
        pods
    }
}

fn running(pod: &Situation) -> impl Iterator<Item = &ContainerRecord> {
    pod.records().filter(|run| run.is_running())
}

fn pod_stats(pod: &Situation, used: &BTreeMap<Subject, Usage>) -> Value {
    let containers = running(pod).filter_map(|run| {
        let usage = used.get(&Subject::Container(run.id.clone()))?;
        let mut stats = json!({ "name": run.name, "startTime": run.started_at.map(|started| started.to_string()) });
        tell(&mut stats, usage);
        Some(stats)
    });
    let (namespace, name) = pod.identity();
    json!({
        "podRef": { "name": name, "namespace": namespace, "uid": pod.pod.metadata.uid },
        "startTime": pod.status().start_time,
        "containers": containers.collect::<Vec<Value>>(),
    })
}

/// Writes down what is used.
fn tell(stats: &mut Value, usage: &Usage) {
    let Value::Object(fields) = stats else { return };
    let time = usage.last.at.to_string();
    let cpu = json!({
        "time": time,
        "usageNanoCores": usage.nano_cores,
        "windowNanoSeconds": u64::try_from(usage.window.as_nanos()).unwrap_or(u64::MAX),
        "usageCoreNanoSeconds": usage.last.cpu_ns,
    });
    let memory = json!({
        "time": time,
        "usageBytes": usage.last.memory,
        "workingSetBytes": usage.last.working_set,
    });
    fields.insert("cpu".to_owned(), cpu);
    fields.insert("memory".to_owned(), memory);
}
