//! Nodes without Docker: the same pods, the same path, no containers.

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::{SOON, condition};
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Setup, eventually};
use serde_json::Value;

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
