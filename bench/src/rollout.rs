//! A Deployment from nothing to a thousand ready pods, on simulated nodes.

use std::time::{Duration, Instant};

use anyhow::Result;
use sampan_system_tests::Setup;
use sampan_system_tests::manifest::web;

use crate::figures::{Budget, Report};
use crate::pods;

const NODES: usize = 100;
const PODS: usize = 1000;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::simulated(NODES).start()?;
    // The kubelet's own limits apply to simulated nodes too; probes would measure their periods, not us.
    let manifest = without_probes(&web("sampan-demo:v1", PODS));
    let started = Instant::now();
    cluster.write_manifest("web.yaml", &manifest)?;
    pods::wait_until_ready(&cluster, PODS)?;
    let took: Duration = started.elapsed();
    let what = "Deployment 0 → 1 000 ready on 100 simulated nodes";
    report.figure(what, took.as_secs_f64(), "s", Budget::AtMost(1.0));
    Ok(())
}

/// The manifest up to its readiness probe, which comes last.
pub(crate) fn without_probes(manifest: &str) -> String {
    let end = manifest.find("          readinessProbe:").unwrap_or(manifest.len());
    manifest.get(..end).unwrap_or_default().to_owned()
}
