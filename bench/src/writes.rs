//! Durable creates over HTTPS: how many, how fast, and how many syncs they cost.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::api::{Api, Credentials};
use sampan_system_tests::{Cluster, Setup};
use serde_json::json;

use crate::figures::{Budget, Report, Samples};

/// Long enough for the journal to rotate.
const LENGTH: Duration = Duration::from_secs(5);
/// What each object holds, so that it is about a kilobyte.
const VALUE_BYTES: usize = 900;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let credentials = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?;
    for (connections, per_second, p50) in
        [(1, Budget::Shown, Budget::AtMost(1.0)), (64, Budget::AtLeast(10_000.0), Budget::Shown)]
    {
        let before = syncs(&cluster)?;
        let started = Instant::now();
        let samples = write_from(&credentials, connections)?;
        let rate = samples.count() as f64 / started.elapsed().as_secs_f64();
        let spent = (syncs(&cluster)? - before) / samples.count() as f64;
        let what = |figure: &str| format!("durable creates of 1 KB over HTTPS, {connections} connections, {figure}");
        report.figure(&what("rate"), rate, "1/s", per_second);
        report.figure(&what("p50"), samples.percentile_ms(50), "ms", p50);
        report.figure(&what("p99"), samples.percentile_ms(99), "ms", Budget::Shown);
        let budget = if connections == 64 { Budget::AtMost(1.0 / 8.0) } else { Budget::Shown };
        report.figure(&what("syncs per write"), spent, "", budget);
    }
    Ok(())
}

/// Runs `act` from so many connections at once, each with its number.
pub(crate) fn from_all(
    cluster: &Cluster,
    connections: usize,
    act: impl Fn(&mut Api, usize) -> Result<()> + Sync,
) -> Result<()> {
    let credentials = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?;
    std::thread::scope(|scope| {
        let (credentials, act) = (&credentials, &act);
        let clients: Vec<_> =
            (0..connections).map(|client| scope.spawn(move || act(&mut credentials.connect(), client))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })
}

fn write_from(credentials: &Credentials, connections: usize) -> Result<Samples> {
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..connections).map(|client| scope.spawn(move || write(credentials, connections, client))).collect();
        let mut all = Samples::default();
        for client in clients {
            all.merge(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok(all)
    })
}

fn write(credentials: &Credentials, connections: usize, client: usize) -> Result<Samples> {
    let mut api = credentials.connect();
    let mut samples = Samples::default();
    let began = Instant::now();
    for number in 0.. {
        let name = format!("c{connections}-{client}-{number}");
        let object = json!({"metadata": {"name": name}, "data": {"key": "x".repeat(VALUE_BYTES)}});
        let started = Instant::now();
        let answer = api.create("/api/v1/namespaces/default/configmaps", &object)?;
        samples.add(started.elapsed());
        ensure!(answer.status == 201, "{}: {}", answer.status, answer.text());
        if began.elapsed() >= LENGTH {
            break;
        }
    }
    Ok(samples)
}

/// How often the store has synced, as `/metrics` counts it.
fn syncs(cluster: &Cluster) -> Result<f64> {
    let metrics = cluster.api()?.get("/metrics")?.text();
    let line = metrics.lines().find(|line| line.starts_with("sampan_store_syncs_total"));
    let value = line.and_then(|line| line.split_whitespace().last());
    value.and_then(|value| value.parse().ok()).context("/metrics does not count syncs")
}
