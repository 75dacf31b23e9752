//! From exec to the first good answer of `/readyz`.

use std::time::{Duration, Instant};

use anyhow::Result;
use sampan_system_tests::api::Credentials;
use sampan_system_tests::{Cluster, Setup};

use crate::figures::{Budget, Report, Samples};
use crate::size;

/// Starts on an empty store.
const STARTS: usize = 11;
/// Starts on a full one.
const FULL_STARTS: usize = 3;
/// Objects of the full store.
const OBJECTS: usize = 100_000;
/// A start that takes longer has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let mut cluster = Setup::simulated(1).start()?;
    let empty = starts(&mut cluster, STARTS)?;
    report.figure("exec → ready, empty store, p50", empty.percentile_ms(50), "ms", Budget::AtMost(100.0));
    size::fill(&cluster, OBJECTS)?;
    let full = starts(&mut cluster, FULL_STARTS)?;
    report.figure("exec → ready, 100 000 objects, p50", full.percentile_ms(50), "ms", Budget::AtMost(1500.0));
    Ok(())
}

fn starts(cluster: &mut Cluster, count: usize) -> Result<Samples> {
    let credentials = Credentials::from_kubeconfig(&cluster.kubeconfig()?)?;
    let mut samples = Samples::default();
    for _ in 0..count {
        cluster.kill()?;
        let started = Instant::now();
        cluster.spawn()?;
        while !is_ready(&credentials) {
            anyhow::ensure!(started.elapsed() < READY_WITHIN, "not ready within {READY_WITHIN:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        samples.add(started.elapsed());
    }
    Ok(samples)
}

fn is_ready(credentials: &Credentials) -> bool {
    credentials.connect().get("/readyz").is_ok_and(|answer| answer.status == 200)
}
