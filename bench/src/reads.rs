//! Reads as kubectl makes them, and applies: one object, ten thousand pods as JSON and as a table.

use std::time::Instant;

use anyhow::{Result, ensure};
use sampan_system_tests::api::Api;
use sampan_system_tests::wire::Answer;
use sampan_system_tests::{Cluster, Setup};
use serde_json::{Value, json};

use crate::figures::{Budget, Report, Samples};
use crate::writes::from_all;

const PODS: usize = 10_000;
const CLIENTS: usize = 16;
const LISTS: usize = 11;
const READS: usize = 2_000;
const COLLECTION: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    fill(&cluster)?;
    let mut api = cluster.api()?;
    let pod = format!("{COLLECTION}/p-0-0");
    let get = timed(READS, |_| answered(api.get(&pod)?, 200))?;
    report.figure("get a pod, p50", get.percentile_ms(50), "ms", Budget::Shown);
    let apply = timed(READS, |number| applied(&mut api, number))?;
    report.figure("server-side apply of a ConfigMap, p50", apply.percentile_ms(50), "ms", Budget::Shown);
    let list = timed(LISTS, |_| answered(api.get(COLLECTION)?, 200))?;
    report.figure("list 10 000 pods as JSON, p50", list.percentile_ms(50), "ms", Budget::Shown);
    let table = timed(LISTS, |_| answered(api.get_table(COLLECTION)?, 200))?;
    report.figure("list 10 000 pods as a table, p50", table.percentile_ms(50), "ms", Budget::Shown);
    Ok(())
}

/// Pods nobody acts on: their gate stays closed.
fn fill(cluster: &Cluster) -> Result<()> {
    from_all(cluster, CLIENTS, |api, client| {
        for number in 0..PODS / CLIENTS {
            answered(api.create(COLLECTION, &gated(&format!("p-{client}-{number}")))?, 201)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn gated(name: &str) -> Value {
    let labels = json!({"app": "web", "tier": "front"});
    let spec = json!({"schedulingGates": [{"name": "example.com/closed"}], "containers": [{
        "name": "web", "image": "sampan-demo:v1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }]});
    json!({"metadata": {"name": name, "labels": labels}, "spec": spec})
}

fn applied(api: &mut Api, number: usize) -> Result<()> {
    let path = "/api/v1/namespaces/default/configmaps/applied?fieldManager=bench";
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"turn": number.to_string()},
    });
    let answer = api.send("PATCH", path, "application/apply-patch+yaml", object.to_string().as_bytes())?;
    ensure!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text());
    Ok(())
}

pub(crate) fn answered(answer: Answer, status: u16) -> Result<()> {
    ensure!(answer.status == status, "{}: {}", answer.status, answer.text());
    Ok(())
}

fn timed(count: usize, mut act: impl FnMut(usize) -> Result<()>) -> Result<Samples> {
    let mut samples = Samples::default();
    for number in 0..count {
        let started = Instant::now();
        act(number)?;
        samples.add(started.elapsed());
    }
    Ok(samples)
}
