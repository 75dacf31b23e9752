//! A Deployment from nothing to a thousand ready pods, and to ten thousand, on simulated nodes.

use std::time::Instant;

use anyhow::Result;
use sampan_system_tests::Setup;
use sampan_system_tests::manifest::web;

use crate::figures::{Budget, Report};
use crate::pods;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let small = ready_in(100, 1_000)?;
    report.figure("Deployment 0 → 1 000 ready on 100 simulated nodes", small, "s", Budget::AtMost(1.0));
    let large = ready_in(1_000, 10_000)?;
    report.figure("Deployment 0 → 10 000 ready on 1 000 simulated nodes", large, "s", Budget::AtMost(10.0));
    Ok(())
}

/// The seconds it takes.
fn ready_in(nodes: usize, count: usize) -> Result<f64> {
    let cluster = Setup::simulated(nodes).start()?;
    // The kubelet's own limits apply to simulated nodes too; probes would measure their periods, not us.
    let manifest = without_probes(&web("sampan-demo:v1", count));
    let started = Instant::now();
    cluster.write_manifest("web.yaml", &manifest)?;
    pods::wait_until_ready(&cluster, count)?;
    Ok(started.elapsed().as_secs_f64())
}

/// The manifest up to its readiness probe, which comes last.
pub(crate) fn without_probes(manifest: &str) -> String {
    let end = manifest.find("          readinessProbe:").unwrap_or(manifest.len());
    manifest.get(..end).unwrap_or_default().to_owned()
}
