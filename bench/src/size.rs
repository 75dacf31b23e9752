//! What a large store costs: memory, and reading one object of it.

use std::time::Instant;

use anyhow::{Result, ensure};
use sampan_system_tests::api::Api;
use sampan_system_tests::{Cluster, Setup};
use serde_json::json;

use crate::figures::{Budget, Report, Samples};
use crate::idle::Process;
use crate::writes::from_all;

/// Clients that fill the store.
const CLIENTS: usize = 64;
/// The large store.
const OBJECTS: usize = 100_000;
/// Reads for each figure.
const READS: usize = 2000;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    fill(&cluster, 10)?;
    let small = reads(&cluster)?;
    fill(&cluster, OBJECTS)?;
    let large = reads(&cluster)?;
    report.figure("read one object on a fresh snapshot, 10 objects, p50", small, "ms", Budget::Shown);
    report.figure(
        "read one object on a fresh snapshot, 100 000 objects, p50",
        large,
        "ms",
        Budget::AtMost(small * 1.5),
    );
    let memory = Process::of(&cluster)?.memory()?;
    report.figure("anonymous memory, 100 000 ConfigMaps of 1 KB", memory.anonymous_mb, "MB", Budget::AtMost(350.0));
    report.figure("resident memory, 100 000 ConfigMaps of 1 KB", memory.resident_mb, "MB", Budget::Shown);
    Ok(())
}

/// The median of reads, each after a write, so that none is served from a snapshot seen before.
fn reads(cluster: &Cluster) -> Result<f64> {
    let mut api = cluster.api()?;
    let mut samples = Samples::default();
    let path = "/api/v1/namespaces/default/configmaps/f-0-0";
    for number in 0..READS {
        let patch = json!({"data": {"turn": number.to_string()}}).to_string();
        let patched = api.send("PATCH", path, "application/merge-patch+json", patch.as_bytes())?;
        ensure!(patched.status == 200, "{}: {}", patched.status, patched.text());
        let started = Instant::now();
        let answer = api.get(path)?;
        samples.add(started.elapsed());
        ensure!(answer.status == 200, "{}", answer.status);
    }
    Ok(samples.percentile_ms(50))
}

/// Creates objects of about a kilobyte until there are `count`.
pub(crate) fn fill(cluster: &Cluster, count: usize) -> Result<()> {
    from_all(cluster, CLIENTS, |api, client| create(api, client, count.div_ceil(CLIENTS)))
}

fn create(api: &mut Api, client: usize, count: usize) -> Result<()> {
    for number in 0..count {
        let object = json!({"metadata": {"name": format!("f-{client}-{number}")}, "data": {"key": "x".repeat(900)}});
        let answer = api.create("/api/v1/namespaces/default/configmaps", &object)?;
        ensure!(answer.status == 201 || answer.status == 409, "{}: {}", answer.status, answer.text());
    }
    Ok(())
}
