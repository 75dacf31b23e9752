//! Containers that write: is every line collected once and in order, and what does that cost, beside what Docker itself keeps?

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::sampan_binary;
use sampan_system_tests::docker::docker;
use sampan_system_tests::manifest::pod;
use sampan_system_tests::{Cluster, Setup, eventually};

use crate::figures::{Budget, Report};
use crate::idle::Process;

const CONTAINERS: usize = 10;
const PER_SECOND: usize = 5_000;
/// Lines each of them writes, in a minute.
const LINES: usize = PER_SECOND * 60;
/// A machine on which that takes longer cannot carry it.
const DONE_WITHIN: Duration = Duration::from_mins(4);

/// What became of the lines of a container, as they are told again.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    lines: usize,
    lost: usize,
    doubled: usize,
    misplaced: usize,
}

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let cluster = Setup::docker().start()?;
    let (ours, dockers) = (Process::of(&cluster)?, Process::docker()?);
    let before = (ours.processor_seconds()?, dockers.processor_seconds()?);
    let started = Instant::now();
    for container in 0..CONTAINERS {
        let writer = pod(&name(container), &["requests", &LINES.to_string(), &PER_SECOND.to_string()]);
        cluster.write_manifest(&format!("{container}.yaml"), &writer)?;
    }
    eventually("all have written", DONE_WITHIN, || Ok(have_ended(&cluster)?.then_some(())))?;
    let took = started.elapsed().as_secs_f64();
    let share = |now: f64, before: f64| (now - before) / took * 100.0;
    let total = (CONTAINERS * LINES) as f64;
    report.figure("lines written, ten containers at once", total / took, "/s", Budget::Shown);
    report.figure(
        "processor of Sampan meanwhile",
        share(ours.processor_seconds()?, before.0),
        "% of a core",
        Budget::Shown,
    );
    report.figure(
        "processor of dockerd meanwhile",
        share(dockers.processor_seconds()?, before.1),
        "% of a core",
        Budget::Shown,
    );
    read_again(&cluster, report)?;
    let kept = bytes_below(&cluster.data().join("node/logs"))? as f64;
    report.figure("bytes on disk for a line of 64", kept / total, "", Budget::Shown);
    beside_docker(report)
}

fn name(container: usize) -> String {
    format!("writer-{container}")
}

fn have_ended(cluster: &Cluster) -> Result<bool> {
    let phases = cluster.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].status.phase}"])?;
    Ok(phases.split(' ').filter(|phase| *phase == "Succeeded").count() == CONTAINERS)
}

/// Reads every line of every container again, as `sampan logs` tells them.
fn read_again(cluster: &Cluster, report: &mut Report) -> Result<()> {
    let (started, mut all) = (Instant::now(), Told::default());
    for container in 0..CONTAINERS {
        let mut command = Command::new(sampan_binary());
        command.arg("logs").arg("--data").arg(cluster.data()).arg(name(container));
        let told = told(&mut command)?;
        all.lines += told.lines;
        all.lost += told.lost;
        all.doubled += told.doubled;
        all.misplaced += told.misplaced;
    }
    let rate = all.lines as f64 / started.elapsed().as_secs_f64();
    report.figure("lines lost", all.lost as f64, "", Budget::AtMost(0.0));
    report.figure("lines doubled", all.doubled as f64, "", Budget::AtMost(0.0));
    report.figure("lines out of order", all.misplaced as f64, "", Budget::AtMost(0.0));
    report.figure("lines told again by `sampan logs`", rate, "/s", Budget::Shown);
    Ok(())
}

/// The same of the files Docker keeps, and of `docker logs`.
fn beside_docker(report: &mut Report) -> Result<()> {
    let ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", "label=io.kubernetes.container.name=main"])?;
    let (mut lines, mut bytes, started) = (0, 0, Instant::now());
    for id in ids.lines() {
        lines += told(Command::new("docker").args(["logs", id]))?.lines;
        let path = docker(&["inspect", "--format", "{{.LogPath}}", id])?;
        bytes += bytes_below(Path::new(path.trim()).parent().context("a log lies in a folder")?)?;
    }
    ensure!(lines > 0, "docker logs tells nothing");
    let (lines, took) = (lines as f64, started.elapsed().as_secs_f64());
    report.figure("docker logs: lines still there", lines / (CONTAINERS * LINES) as f64 * 100.0, "%", Budget::Shown);
    report.figure("docker logs: bytes on disk for a line", bytes as f64 / lines, "", Budget::Shown);
    report.figure("docker logs: lines told again", lines / took, "/s", Budget::Shown);
    Ok(())
}

/// Runs a command that tells lines, and holds their numbers against those that were written.
fn told(command: &mut Command) -> Result<Told> {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let lines = BufReader::new(process.stdout.take().context("no output")?).lines();
    let mut numbers = Vec::with_capacity(LINES);
    for line in lines {
        let line = line?;
        let number = line.split_once("request ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok());
        numbers.push(number.with_context(|| format!("a line nobody wrote: {line:?}"))?);
    }
    ensure!(process.wait()?.success(), "{command:?} failed");
    Ok(compared(&numbers))
}

fn compared(numbers: &[usize]) -> Told {
    let misplaced = numbers.windows(2).filter(|pair| pair.first() > pair.last()).count();
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    Told { lines: numbers.len(), lost: LINES - sorted.len(), doubled: numbers.len() - sorted.len(), misplaced }
}

/// What the files below a folder take, as the file system counts it.
fn bytes_below(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_misplaced_is_counted() {
        let whole: Vec<usize> = (1..=LINES).collect();
        assert_eq!(compared(&whole), Told { lines: LINES, ..Told::default() });
        let mut broken = whole;
        broken.swap(3, 4);
        broken.remove(0);
        broken.push(LINES);
        assert_eq!(compared(&broken), Told { lines: LINES, lost: 1, doubled: 1, misplaced: 1 });
    }
}
