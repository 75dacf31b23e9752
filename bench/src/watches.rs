//! From a write to the last of its watchers.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::api::Credentials;
use sampan_system_tests::{Cluster, Setup};
use serde_json::{Value, json};

use crate::figures::{Budget, Report, Samples};
use crate::reads::answered;

/// How long is written for each figure.
const LENGTH: Duration = Duration::from_secs(5);
const OBJECT: &str = "/api/v1/namespaces/default/configmaps/watched";
const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    for (watchers, per_second, budget_ms) in [(100, 200, 5.0), (1_000, 20, 25.0)] {
        let cluster = Setup::simulated(1).start()?;
        let samples = fan_out(&cluster, watchers, per_second)?;
        let what = format!("write → last of {watchers} watchers, {per_second} writes per s");
        report.figure(&format!("{what}, p50"), samples.percentile_ms(50), "ms", Budget::Shown);
        report.figure(&format!("{what}, p99"), samples.percentile_ms(99), "ms", Budget::AtMost(budget_ms));
    }
    Ok(())
}

/// Writes at a steady pace; for each write, how long until the last watcher was told.
fn fan_out(cluster: &Cluster, watchers: usize, per_second: u32) -> Result<Samples> {
    let credentials = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?;
    let writes = (LENGTH.as_secs_f64() * f64::from(per_second)) as usize;
    answered(credentials.connect().create(COLLECTION, &json!({"metadata": {"name": "watched"}}))?, 201)?;
    let ready = Arc::new(Barrier::new(watchers + 1));
    std::thread::scope(|scope| {
        let watching: Vec<_> = (0..watchers)
            .map(|_| {
                let (credentials, ready) = (&credentials, Arc::clone(&ready));
                scope.spawn(move || arrivals(credentials, &ready, writes))
            })
            .collect();
        ready.wait();
        let written = write(&credentials, writes, per_second);
        let mut last = vec![None; writes];
        for watcher in watching {
            let seen = watcher.join().map_err(|_| anyhow::anyhow!("a watcher panicked"))??;
            last.iter_mut().zip(seen).for_each(|(last, arrived)| *last = (*last).max(Some(arrived)));
        }
        let mut samples = Samples::default();
        for (sent, arrived) in written?.into_iter().zip(last) {
            samples.add(arrived.context("nobody was told of a write")?.saturating_duration_since(sent));
        }
        Ok(samples)
    })
}

/// When one watcher was told of each write, in their order.
fn arrivals(credentials: &Credentials, ready: &Barrier, writes: usize) -> Result<Vec<Instant>> {
    let events = credentials.connect().watch(COLLECTION);
    ready.wait();
    let mut seen = Vec::with_capacity(writes);
    for event in events? {
        let event = event?;
        if event.pointer("/object/data/turn").and_then(Value::as_str).is_some() {
            seen.push(Instant::now());
        }
        if seen.len() == writes {
            return Ok(seen);
        }
    }
    anyhow::bail!("the watch ended after {} of {writes} writes", seen.len())
}

fn write(credentials: &Credentials, writes: usize, per_second: u32) -> Result<Vec<Instant>> {
    let mut api = credentials.connect();
    let began = Instant::now();
    let mut sent = Vec::with_capacity(writes);
    for number in 0..writes {
        let due = began + Duration::from_secs(1) * u32::try_from(number)? / per_second;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let patch = json!({"data": {"turn": number.to_string()}}).to_string();
        sent.push(Instant::now());
        let answer = api.send("PATCH", OBJECT, "application/merge-patch+json", patch.as_bytes())?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    }
    Ok(sent)
}
