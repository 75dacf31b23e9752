//! From a write to the last of its watchers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sampan_system_tests::api::Credentials;
use sampan_system_tests::{Cluster, Setup};
use serde_json::json;

use crate::crowd::Crowd;
use crate::figures::{Budget, Report, Samples};
use crate::reads::answered;

/// How long is written for each figure.
const LENGTH: Duration = Duration::from_secs(5);
const OBJECT: &str = "/api/v1/namespaces/default/configmaps/watched";
const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
/// What stands once in what a watcher is told of a write.
const TOLD: &[u8] = b"\"turn\":\"";

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
    let crowd = Crowd::gather(&credentials, COLLECTION, watchers)?;
    std::thread::scope(|scope| {
        let told = scope.spawn(|| crowd.told(TOLD, writes));
        let written = write(&credentials, writes, per_second)?;
        let told = told.join().map_err(|_| anyhow::anyhow!("the watchers panicked"))??;
        let mut samples = Samples::default();
        for (sent, last) in written.into_iter().zip(told) {
            samples.add(last.saturating_duration_since(sent));
        }
        Ok(samples)
    })
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
