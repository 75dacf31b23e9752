//! How many pods the scheduler places in a second among five thousand nodes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sampan_system_tests::api::Api;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::{Value, json};

use crate::figures::{Budget, Report};
use crate::reads::answered;
use crate::writes::from_all;

const NODES: usize = 5_000;
const PODS: usize = 10_000;
const CLIENTS: usize = 8;
const WITHIN: Duration = Duration::from_mins(2);
const PODS_PATH: &str = "/api/v1/namespaces/default/pods";

/// One ReplicaSet asks for all pods, because its commits of hundreds cost the least beside their placement.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    register(&cluster)?;
    let mut api = cluster.api()?;
    let started = Instant::now();
    answered(api.create("/apis/apps/v1/namespaces/default/replicasets", &replica_set())?, 201)?;
    eventually("every pod has a node", WITHIN, || Ok(are_placed(&mut api)?.then_some(())))?;
    let rate = PODS as f64 / started.elapsed().as_secs_f64();
    report.figure("scheduler, 5 000 nodes, pods made and placed", rate, "1/s", Budget::AtLeast(5_000.0));
    Ok(())
}

/// Nodes that are ready and have no agent: the scheduler sees no difference.
fn register(cluster: &Cluster) -> Result<()> {
    from_all(cluster, CLIENTS, |api, client| {
        for number in 0..NODES / CLIENTS {
            let name = format!("n-{client}-{number}");
            answered(api.create("/api/v1/nodes", &json!({"metadata": {"name": name}}))?, 201)?;
            let room = json!({"cpu": "64", "memory": "256Gi", "pods": "110"});
            let status = json!({"status": {"capacity": room, "allocatable": room,
                "conditions": [{"type": "Ready", "status": "True", "reason": "Measured", "message": ""}]}});
            let path = format!("/api/v1/nodes/{name}/status");
            answered(api.send("PATCH", &path, "application/merge-patch+json", status.to_string().as_bytes())?, 200)?;
        }
        Ok(())
    })
}

fn replica_set() -> Value {
    let labels = json!({"app": "web"});
    let container = json!({"name": "web", "image": "sampan-demo:v1", "resources": {"requests": {"cpu": "100m"}}});
    json!({"metadata": {"name": "web"}, "spec": {"replicas": PODS, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}})
}

/// Whether every pod is there and has its node.
fn are_placed(api: &mut Api) -> Result<bool> {
    let unplaced = api.get(&format!("{PODS_PATH}?fieldSelector=spec.nodeName%3D&limit=1"))?.json()?;
    Ok(shown(&unplaced)? == 0 && count(&api.get(&format!("{PODS_PATH}?limit=1"))?.json()?)? == PODS)
}

/// How many a list has, of which one item is shown.
fn count(list: &Value) -> Result<usize> {
    let remaining = list.pointer("/metadata/remainingItemCount").and_then(Value::as_u64).unwrap_or(0);
    Ok(shown(list)? + usize::try_from(remaining)?)
}

fn shown(list: &Value) -> Result<usize> {
    Ok(list.get("items").and_then(Value::as_array).context("no items")?.len())
}
