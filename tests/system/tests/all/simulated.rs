//! Nodes without Docker: the same pods, the same path, no containers.

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::{SOON, condition};
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Setup, eventually};
use serde_json::{Value, json};

use crate::workloads::wait_for_rollout;

#[test]
fn simulated_nodes_run_roll_and_scale_a_deployment() -> Result<()> {
    let cluster = Setup::simulated(5).start()?;
    eventually("five nodes are ready", SOON, || {
        let nodes = cluster.list("/api/v1/nodes")?;
        Ok((nodes.iter().filter(|node| condition(node, "Ready") == Some("True")).count() == 5).then_some(()))
    })?;
    cluster.write_manifest("web.yaml", &web("sampan-demo:v1", 10))?;
    let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 10)?;
    let nodes: std::collections::BTreeSet<_> =
        pods.iter().filter_map(|pod| pod.pointer("/spec/nodeName")?.as_str()).collect();
    ensure!(nodes.len() == 5, "10 pods went to {nodes:?}");
    cluster.write_manifest("web.yaml", &web("sampan-demo:v2", 10))?;
    wait_for_rollout(&cluster, "sampan-demo:v2", 10)?;
    cluster.write_manifest("web.yaml", &web("sampan-demo:v2", 3))?;
    wait_for_rollout(&cluster, "sampan-demo:v2", 3)?;
    ensure!(!cluster.log().contains('\u{1b}'), "colours in a file: {}", cluster.log());
    Ok(())
}

#[test]
fn a_simulated_pod_looks_like_a_real_one() -> Result<()> {
    let shape = |setup: Setup| -> Result<Vec<String>> {
        let cluster = setup.with_manifest("web.yaml", &web("sampan-demo:v1", 1)).start()?;
        let pods = wait_for_rollout(&cluster, "sampan-demo:v1", 1)?;
        let status = pods.first().and_then(|pod| pod.get("status")).context("no status")?;
        let mut paths = Vec::new();
        collect_paths(status, String::new(), &mut paths);
        paths.sort();
        paths.dedup();
        Ok(paths)
    };
    let (simulated, real) = (shape(Setup::simulated(1))?, shape(Setup::docker())?);
    ensure!(simulated == real, "simulated: {simulated:#?}\nreal: {real:#?}");
    Ok(())
}

#[test]
fn so_many_ended_pods_are_kept_and_no_more() -> Result<()> {
    let cluster = Setup::simulated(1).told(&["--terminated-pod-gc-threshold", "3"]).start()?;
    let (pods, jobs) = ("/api/v1/namespaces/default/pods", "/apis/batch/v1/namespaces/default/jobs");
    let running = |command: &str| {
        let container = json!({"name": "c", "image": "c:1", "command": [command]});
        json!({"restartPolicy": "Never", "containers": [container]})
    };
    let named = |name: &str, command: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": running(command)});
    let mut api = cluster.api()?;
    for (name, command) in
        [("alive", "sleep"), ("ended-1", "true"), ("ended-2", "false"), ("ended-3", "true"), ("ended-4", "true")]
    {
        ensure!(api.create(pods, &named(name, command))?.status == 201, "{name}");
    }
    let left = |expect: &[&str]| {
        eventually("the youngest of those that have ended are left", SOON, || {
            let pods = cluster.list(pods)?;
            let ended = pods.iter().filter(|pod| {
                matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
            });
            let names = ended.filter_map(|pod| pod.pointer("/metadata/name")?.as_str());
            let mut names: Vec<&str> = names.map(|name| name.get(..7).unwrap_or(name)).collect();
            names.sort_unstable();
            let is_alive = pods.iter().any(|pod| pod.pointer("/status/phase") == Some(&Value::from("Running")));
            Ok((names == expect && is_alive).then_some(()))
        })
    };
    left(&["ended-2", "ended-3", "ended-4"])?;
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "summing"},
        "spec": {"completions": 4, "template": {"spec": running("true")}}});
    ensure!(api.create(jobs, &job)?.status == 201, "the Job");
    left(&["summing", "summing", "summing"])?;
    let job = cluster.object(&format!("{jobs}/summing"))?.context("no Job")?;
    ensure!(job.pointer("/status/succeeded") == Some(&Value::from(4)), "{job}");
    Ok(())
}

fn collect_paths(value: &Value, path: String, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect_paths(value, format!("{path}.{name}"), into);
            }
        }
        Value::Array(items) => {
            for value in items {
                collect_paths(value, format!("{path}[]"), into);
            }
        }
        _ => into.push(path),
    }
}
