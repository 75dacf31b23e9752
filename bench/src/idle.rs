//! What Sampan costs while nothing happens.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sampan_system_tests::manifest::web;
use sampan_system_tests::{Cluster, Setup};

use crate::figures::{Budget, Report};
use crate::pods;
use crate::rollout::without_probes;

/// Pods at rest.
const PODS: usize = 100;
/// Pods that are each probed every second: not rest, but what many clusters do.
const PROBED: usize = 30;
/// Until start-up is over and forgotten.
const SETTLE: Duration = Duration::from_secs(20);
/// How long the processor time is counted.
const LENGTH: Duration = Duration::from_secs(30);
/// What Linux calls a clock tick in `/proc`, on every architecture we know.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::docker().start()?;
    rest(&cluster, report, "empty", Some(20.0))?;
    cluster.write_manifest("web.yaml", &without_probes(&web("sampan-demo:v1", PODS)))?;
    pods::wait_until_ready(&cluster, PODS)?;
    rest(&cluster, report, "100 pods", Some(40.0))?;
    drop(cluster);
    let cluster = Setup::docker().start()?;
    cluster.write_manifest("web.yaml", &web("sampan-demo:v1", PROBED))?;
    pods::wait_until_ready(&cluster, PROBED)?;
    rest(&cluster, report, "30 pods probed every second", None)
}

fn rest(cluster: &Cluster, report: &mut Report, what: &str, budget_mb: Option<f64>) -> Result<()> {
    std::thread::sleep(SETTLE);
    let process = Process::of(cluster)?;
    let before = process.processor_seconds()?;
    std::thread::sleep(LENGTH);
    let share = (process.processor_seconds()? - before) / LENGTH.as_secs_f64() * 100.0;
    let memory = process.memory()?;
    let memory_budget = budget_mb.map_or(Budget::Shown, Budget::AtMost);
    let share_budget = budget_mb.map_or(Budget::Shown, |_| Budget::AtMost(0.5));
    report.figure(&format!("idle anonymous memory, {what}"), memory.anonymous_mb, "MB", memory_budget);
    report.figure(&format!("idle resident memory, {what}"), memory.resident_mb, "MB", Budget::Shown);
    report.figure(&format!("idle processor, {what}"), share, "% of a core", share_budget);
    Ok(())
}

/// A running process, as `/proc` shows it.
#[derive(Debug)]
pub(crate) struct Process(u32);

/// What a process holds.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Pages no file stands behind.
    pub(crate) anonymous_mb: f64,
    /// All pages in memory, those of the program file included.
    pub(crate) resident_mb: f64,
}

impl Process {
    /// The cluster's process.
    pub(crate) fn of(cluster: &Cluster) -> Result<Self> {
        cluster.process_id().map(Self).context("the cluster does not run")
    }

    /// The one of this number.
    pub(crate) fn with_id(id: u32) -> Self {
        Self(id)
    }

    /// Docker's.
    pub(crate) fn docker() -> Result<Self> {
        let told = std::fs::read_to_string("/var/run/docker.pid").context("no Docker runs on this machine")?;
        Ok(Self(told.trim().parse()?))
    }

    /// What it holds now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let megabytes = |field: &str| -> Result<f64> {
            let line = status.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
            let kilobytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
            Ok(kilobytes / 1024.0)
        };
        Ok(Memory { anonymous_mb: megabytes("RssAnon:")?, resident_mb: megabytes("VmRSS:")? })
    }

    /// The processor time it has taken so far.
    pub(crate) fn processor_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The name in brackets may hold spaces; the fields behind it do not: user and system time are 12th and 13th.
        let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
        let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
    }
}
