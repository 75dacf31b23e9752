//! EndpointSlices of a Service of a thousand pods: from nothing to all of them, and when one leaves.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sampan_system_tests::manifest::{service, web};
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::Value;

use crate::figures::{Budget, Report, Samples};
use crate::pods;
use crate::rollout::without_probes;

const NODES: usize = 100;
const PODS: usize = 1_000;
const LEAVING: usize = 100;
const WITHIN: Duration = Duration::from_mins(1);
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(NODES).start()?;
    cluster.write_manifest("service.yaml", &service("web", ""))?;
    let started = Instant::now();
    cluster.write_manifest("web.yaml", &without_probes(&web("sampan-demo:v1", PODS)))?;
    pods::wait_until_ready(&cluster, PODS)?;
    let ready = started.elapsed();
    let slices = eventually("every pod is an endpoint", WITHIN, || {
        let slices = slices(&cluster)?;
        Ok((slices.iter().map(|slice| ready_endpoints(slice).count()).sum::<usize>() == PODS).then_some(slices))
    })?;
    let behind = started.elapsed().saturating_sub(ready);
    report.figure("1 000 pods ready → all in EndpointSlices", behind.as_secs_f64(), "s", Budget::AtMost(0.5));
    report.figure("EndpointSlices of 1 000 pods", slices.len() as f64, "", Budget::AtMost(12.0));
    let samples = leave(&cluster, &slices)?;
    report.figure("one of 1 000 pods leaves → its EndpointSlice, p50", samples.percentile_ms(50), "ms", Budget::Shown);
    report.figure("one of 1 000 pods leaves → its EndpointSlice, p99", samples.percentile_ms(99), "ms", Budget::Shown);
    Ok(())
}

fn slices(cluster: &Cluster) -> Result<Vec<Value>> {
    cluster.list(&format!("{SLICES}?labelSelector=kubernetes.io%2Fservice-name%3Dweb"))
}

fn ready_endpoints(slice: &Value) -> impl Iterator<Item = &Value> {
    let endpoints = slice.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    endpoints.filter(|endpoint| endpoint.pointer("/conditions/ready") == Some(&Value::Bool(true)))
}

/// Deletes pods one by one; each time, from the request to the slice that no longer has it ready.
fn leave(cluster: &Cluster, slices: &[Value]) -> Result<Samples> {
    let (mut api, mut samples) = (cluster.api()?, Samples::default());
    let names = slices.iter().flat_map(|slice| {
        let slice_name = slice.pointer("/metadata/name").and_then(Value::as_str);
        ready_endpoints(slice).filter_map(move |endpoint| Some((slice_name?, pod(endpoint)?)))
    });
    // Every so many, so that all slices have their turn.
    for (slice, name) in names.step_by(PODS / LEAVING) {
        let path = format!("{SLICES}/{slice}");
        let started = Instant::now();
        let answer = api.delete(&format!("/api/v1/namespaces/default/pods/{name}"))?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        loop {
            let shown = api.get(&path)?.json()?;
            if !ready_endpoints(&shown).any(|endpoint| pod(endpoint) == Some(name)) {
                break;
            }
            ensure!(started.elapsed() < WITHIN, "{name} is still an endpoint");
        }
        samples.add(started.elapsed());
    }
    Ok(samples)
}

fn pod(endpoint: &Value) -> Option<&str> {
    endpoint.pointer("/targetRef/name")?.as_str()
}
