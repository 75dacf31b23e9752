//! `/stats/summary`: what containers use, as the kubelet tells it.

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt;
use http::Response;
use serde_json::{Value, json};

use super::{Body, KubeletApi, Refused, json as answer};
use crate::pod::{ContainerRecord, Situation};

/// Containers asked at one time.
const LOOKS_AT_ONCE: usize = 8;

impl KubeletApi {
    pub(super) async fn stats(&self) -> Result<Response<Body>, Refused> {
        let mut pods = Vec::new();
        for situation in self.asker.pods(&self.node).await {
            pods.push(self.pod_stats(&situation).await);
        }
        Ok(answer(&json!({ "node": { "nodeName": self.node }, "pods": pods })))
    }

    async fn pod_stats(&self, situation: &Situation) -> Value {
        let living: Vec<ContainerRecord> = situation.records().filter(|run| run.is_running()).cloned().collect();
        let looks = futures::stream::iter(living).map(|run| self.container_stats(run));
        let containers: Vec<Option<Value>> = looks.buffered(LOOKS_AT_ONCE).collect().await;
        let (namespace, name) = situation.identity();
        json!({
            "podRef": { "name": name, "namespace": namespace, "uid": situation.pod.metadata.uid },
            "startTime": situation.status().start_time,
            "containers": containers.into_iter().flatten().collect::<Vec<Value>>(),
        })
    }

    async fn container_stats(&self, run: ContainerRecord) -> Option<Value> {
        let docker = self.docker.as_ref()?;
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut stats = std::pin::pin!(docker.client().stats(&run.id, Some(options)));
        let seen = stats.next().await?.ok()?;
        Some(shown(&run, &seen))
    }
}

fn shown(run: &ContainerRecord, seen: &ContainerStatsResponse) -> Value {
    let cpu = seen.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()).and_then(|usage| usage.total_usage);
    let memory = seen.memory_stats.as_ref();
    let used = memory.and_then(|memory| memory.usage).unwrap_or(0);
    let details = memory.and_then(|memory| memory.stats.as_ref());
    let inactive = details.and_then(|details| {
        let one = |name: &str| details.get(name).and_then(|value| serde_json::to_value(value).ok()?.as_u64());
        one("total_inactive_file").or_else(|| one("inactive_file"))
    });
    let now = crate::shell::now().to_string();
    json!({
        "name": run.name,
        "startTime": run.started_at.map(|started| started.to_string()),
        "cpu": { "time": now, "usageCoreNanoSeconds": cpu.unwrap_or(0) },
        "memory": {
            "time": now,
            "usageBytes": used,
            "workingSetBytes": used.saturating_sub(inactive.unwrap_or(0)),
        },
    })
}
