//! Pods on Docker, beside bare Docker doing the same: a pause container and one that joins it, eight at a time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sampan_system_tests::docker::docker;
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::Value;

use crate::docker::{Bare, PREFIX};
use crate::figures::{Budget, Report};
use crate::rollout::without_probes;

/// How wide bare Docker is driven: wider does not help it on two cores.
const WIDTH: usize = 8;
/// Pods that take longer are not coming.
const READY_WITHIN: Duration = Duration::from_mins(3);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    for count in [1, 10, 30] {
        let bare = bare_docker(count)?.as_secs_f64();
        let ours = ours(count)?.as_secs_f64();
        report.figure(&format!("bare Docker, {count} pods"), bare, "s", Budget::Shown);
        // A single pod may cost 20 ms over bare Docker, a crowd nothing.
        let budget = if count == 1 { bare + 0.02 } else { bare };
        report.figure(&format!("manifest saved → running, {count} pods"), ours, "s", Budget::AtMost(budget));
        report.figure(&format!("{count} pods over bare Docker"), ours / bare, "×", Budget::Shown);
    }
    Ok(())
}

fn ours(count: usize) -> Result<Duration> {
    let cluster = Setup::docker().start()?;
    let manifest = without_probes(&web("sampan-demo:v1", count));
    let started = Instant::now();
    cluster.write_manifest("web.yaml", &manifest)?;
    wait_until_ready(&cluster, count)?;
    Ok(started.elapsed())
}

/// Waits until the Deployment `web` has so many available pods.
pub(crate) fn wait_until_ready(cluster: &Cluster, count: usize) -> Result<()> {
    let mut api = cluster.api()?;
    eventually(&format!("{count} pods are ready"), READY_WITHIN, || {
        let web = api.get("/apis/apps/v1/namespaces/default/deployments/web")?.json()?;
        Ok((web.pointer("/status/readyReplicas").and_then(Value::as_u64) == Some(count as u64)).then_some(()))
    })
}

/// Creates and starts `count` pods by Docker's API alone; removes them after the clock has stopped.
fn bare_docker(count: usize) -> Result<Duration> {
    let work: Mutex<VecDeque<usize>> = Mutex::new((0..count).collect());
    let started = Instant::now();
    let outcome = std::thread::scope(|scope| {
        let drivers: Vec<_> = (0..WIDTH.min(count)).map(|_| scope.spawn(|| drive(&work))).collect();
        drivers.into_iter().try_for_each(|driver| driver.join().map_err(|_| anyhow::anyhow!("a driver panicked"))?)
    });
    let took = started.elapsed();
    let mut all = vec!["rm".to_owned(), "--force".to_owned()];
    all.extend((0..count).flat_map(|pod| [format!("{PREFIX}app-{pod}"), format!("{PREFIX}pause-{pod}")]));
    docker(&all.iter().map(String::as_str).collect::<Vec<_>>()).context("failed to remove the containers")?;
    outcome.map(|()| took)
}

fn drive(work: &Mutex<VecDeque<usize>>) -> Result<()> {
    let mut docker = Bare::connect()?;
    loop {
        let next = work.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.pop_front();
        let Some(pod) = next else { return Ok(()) };
        docker.run_pod(pod)?;
    }
}
