//! A disk without room under the logs and under what outputs keep: nothing is lost, all of it is told, and it goes on.

use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result, ensure};
use sampan_outputs::receiver::{Collector, Demands, Speaks};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::disk::Disk;
use sampan_system_tests::manifest::pod;
use sampan_system_tests::{Cluster, Setup, eventually};
use serde_json::{Value, json};

use crate::log_outputs::told;

const DISK_BYTES: u64 = 32 << 20;
/// More text than waits in memory of one container: its files are not read on until there is room.
const LINES: usize = 80_000;
const PER_SECOND: &str = "30000";
/// What a full disk says.
const NO_ROOM: &str = "No space left on device";

#[test]
fn a_full_disk_loses_no_line_of_a_log_and_holds_nobody_up() -> Result<()> {
    let collector = Collector::start(Speaks::Forward, Demands::default())?;
    let mut cluster = Setup::docker().start()?;
    cluster.interrupt()?;
    let disk = Disk::mount(cluster.folder().join("disk"), DISK_BYTES)?;
    for part in ["logs", "log-outputs", "outputs"] {
        let (place, there) = (cluster.data().join("node").join(part), disk.folder().join(part));
        std::fs::create_dir(&there)?;
        let _ = std::fs::remove_dir_all(&place);
        symlink(there, place)?;
    }
    cluster.up()?;
    output(&cluster, "sent", "loud", &json!({"forward": {"host": "127.0.0.1", "port": collector.port()}}))?;
    output(&cluster, "filed", "quiet", &json!({"file": {"path": "quiet.jsonl"}}))?;
    eventually("both outputs run", SOON, || {
        Ok((told(&cluster, "sent")?["state"] == "Delivering" && told(&cluster, "filed")?["state"] == "Delivering")
            .then_some(()))
    })?;

    disk.fill()?;
    apply(&cluster, &pod("loud", &["requests", &LINES.to_string(), PER_SECOND]))?;
    apply(&cluster, &pod("quiet", &["print", "100"]))?;
    for output in ["sent", "filed"] {
        eventually("the output tells that there is no room", SOON, || {
            let told = told(&cluster, output)?;
            ensure!(told["lastError"].as_str().is_some_and(|error| error.contains(NO_ROOM)), "{told}");
            Ok(Some(()))
        })?;
    }
    eventually("the loud one has written all", SOON, || {
        let phase = cluster.kubectl(&["get", "pod", "loud", "-o", "jsonpath={.status.phase}"])?;
        Ok((phase == "Succeeded").then_some(()))
    })?;
    ensure!(counted(&cluster, "failedWrites")? > 0, "what cannot be written is not counted");
    ensure!(
        cluster.log().contains("lines of logs wait for the disk") && cluster.log().contains(NO_ROOM),
        "{}",
        cluster.log()
    );

    disk.free()?;
    all_are_told(&cluster)?;
    all_are_sent(&collector)?;
    eventually("the outputs go on", SOON, || {
        let (sent, filed) = (told(&cluster, "sent")?, told(&cluster, "filed")?);
        let is_done = |told: &Value| told["lastError"].is_null() && told["waiting"] == 0 && told["dropped"] == 0;
        ensure!(is_done(&sent) && is_done(&filed), "{sent} {filed}");
        Ok(Some(()))
    })?;
    let lines = std::fs::read_to_string(disk.folder().join("outputs/filed/quiet.jsonl"))?;
    let numbers = (1..=100).filter(|number| lines.contains(&format!("\"line {number}\"")));
    ensure!(numbers.count() == 100, "{lines}");

    // What waits in memory goes with the process; Docker's files have it still.
    disk.fill()?;
    apply(&cluster, &pod("late", &["print", "100"]))?;
    eventually("the late one is told", SOON, || Ok((told_lines(&cluster, "late")? == 100).then_some(())))?;
    cluster.kill()?;
    cluster.up()?;
    disk.free()?;
    eventually("the late one is told again", SOON, || Ok((told_lines(&cluster, "late")? == 100).then_some(())))?;
    ensure!(cluster.interrupt()? == Some(0), "Ctrl-C ends otherwise");
    cluster.up()?;
    all_are_told(&cluster)?;
    ensure!(told_lines(&cluster, "late")? == 100 && counted(&cluster, "gaps")? == 0, "lines were lost");
    ensure!(!cluster.log().contains("panicked"), "{}", cluster.log());
    Ok(())
}

fn told_lines(cluster: &Cluster, pod: &str) -> Result<usize> {
    Ok(cluster.sampan(&["logs", pod])?.succeeded()?.stdout.lines().count())
}

/// Waits until the collector has every line of the loud one.
fn all_are_sent(collector: &Collector) -> Result<()> {
    let received =
        collector.until(SOON, |received| received.last().is_some_and(|it| number(&it.record["log"]) == Some(LINES)));
    let received = received.map_err(|received| anyhow::anyhow!("{} arrived", received.len()))?;
    let numbers: Vec<_> = received.iter().filter_map(|it| number(&it.record["log"])).collect();
    ensure!(numbers == (1..=LINES).collect::<Vec<_>>(), "{} of {LINES} lines were sent", numbers.len());
    Ok(())
}

fn apply(cluster: &Cluster, manifest: &str) -> Result<()> {
    cluster.try_kubectl(&["apply", "-f", "-"], manifest)?.succeeded().map(drop)
}

/// Makes an output of the lines of one pod.
fn output(cluster: &Cluster, name: &str, of: &str, target: &Value) -> Result<()> {
    let mut spec = json!({"selector": {"pods": {"matchLabels": {"test": of}}}});
    if let (Some(spec), Some(target)) = (spec.as_object_mut(), target.as_object()) {
        spec.extend(target.clone());
    }
    let output = json!({"apiVersion": "sampan.dev/v1", "kind": "LogOutput", "metadata": {"name": name}, "spec": spec});
    apply(cluster, &output.to_string())
}

fn counted(cluster: &Cluster, what: &str) -> Result<i64> {
    let counts: Value = cluster.sampan(&["logs", "--counts", "-o", "json"])?.succeeded()?.json()?;
    counts.pointer(&format!("/0/logs/{what}")).and_then(Value::as_i64).with_context(|| format!("no {what}: {counts}"))
}

/// The number of a line that `requests` printed.
fn number(line: &Value) -> Option<usize> {
    line.as_str()?.strip_prefix("request ")?.split(' ').next()?.parse().ok()
}

/// Waits until every line of the loud one is told, once and in order.
fn all_are_told(cluster: &Cluster) -> Result<()> {
    eventually("every line is told", SOON, || {
        let told = cluster.sampan(&["logs", "loud"])?.succeeded()?.stdout;
        let lines = told.lines().map(|line| line.split_once("│ ").map_or(line, |(_, text)| text));
        let numbers: Vec<_> = lines.filter_map(|line| number(&line.into())).collect();
        ensure!(numbers == (1..=LINES).collect::<Vec<_>>(), "{} of {LINES}", numbers.len());
        Ok(Some(()))
    })
}
