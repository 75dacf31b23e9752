//! Where it is read what is used: Docker tells of containers, whichever control groups the machine has; the kernel of the machine.

use std::collections::{BTreeMap, HashMap};

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures::StreamExt;

use super::meter::{Reading, Subject};
use crate::runtime::docker::Docker;
use crate::shell;

/// Containers asked at one time.
const LOOKS_AT_ONCE: usize = 8;
/// The kernel counts processor time in hundredths of a second for programs, whatever it counts in itself.
const TICK_NS: u64 = 10_000_000;

/// A look at each of these; none at what is gone.
///
/// Without Docker the node is simulated: no process runs, and nothing is used.
pub(super) async fn look(docker: Option<&Docker>, subjects: &[Subject]) -> BTreeMap<Subject, Reading> {
    let looks = futures::stream::iter(subjects.to_vec()).map(async |subject| {
        let reading = match (docker, &subject) {
            (None, _) => Some(Reading { at: shell::now(), cpu_ns: 0, memory: 0, working_set: 0 }),
            (Some(_), Subject::Machine) => machine(&shell::read("/proc/stat"), &shell::read("/proc/meminfo")),
            (Some(docker), Subject::Container(id)) => container(docker, id).await,
        };
        Some((subject, reading?))
    });
    looks.buffer_unordered(LOOKS_AT_ONCE).filter_map(async |look| look).collect().await
}

async fn container(docker: &Docker, id: &str) -> Option<Reading> {
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let mut stats = std::pin::pin!(docker.client().stats(id, Some(options)));
    told(&stats.next().await?.ok()?)
}

/// What Docker says. It tells nothing of a container that has just ended.
fn told(seen: &ContainerStatsResponse) -> Option<Reading> {
    let memory = seen.memory_stats.as_ref();
    let used = memory.and_then(|memory| memory.usage)?;
    let details = memory.and_then(|memory| memory.stats.as_ref());
    let detail = |name: &str| details?.get(name).and_then(|value| serde_json::to_value(value).ok()?.as_u64());
    // The first is of control groups of version 1, the second of version 2.
    let inactive = detail("total_inactive_file").or_else(|| detail("inactive_file")).unwrap_or(0);
    Some(Reading {
        at: seen.read.as_ref().and_then(|read| read.parse().ok()).unwrap_or_else(shell::now),
        cpu_ns: seen.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?,
        memory: used,
        working_set: used.saturating_sub(inactive),
    })
}

/// What the kernel says in `/proc/stat` and `/proc/meminfo`.
fn machine(stat: &str, memory: &str) -> Option<Reading> {
    let ticks = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = ticks.split_whitespace().map_while(|ticks| ticks.parse().ok()).collect();
    // Guests' time is part of the first two; what was idle, waited for a disk or was taken by others is used by nobody here.
    let &[user, nice, system, _idle, _waiting, interrupts, soft_interrupts, ..] = ticks.as_slice() else { return None };
    let bytes: HashMap<&str, u64> = memory.lines().filter_map(kibibytes).collect();
    let used = bytes.get("MemTotal")?.saturating_sub(*bytes.get("MemFree")?);
    Some(Reading {
        at: shell::now(),
        cpu_ns: (user + nice + system + interrupts + soft_interrupts) * TICK_NS,
        memory: used,
        working_set: used.saturating_sub(*bytes.get("Inactive(file)")?),
    })
}

/// `MemFree:  12 kB`, in bytes.
fn kibibytes(line: &str) -> Option<(&str, u64)> {
    let (name, amount) = line.split_once(':')?;
    let amount: u64 = amount.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((name, amount * 1024))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn docker_told(stats: Value) -> Option<(u64, u64, u64)> {
        let reading = told(&serde_json::from_value(stats).unwrap())?;
        Some((reading.cpu_ns, reading.memory, reading.working_set))
    }

    #[test]
    fn control_groups_of_both_versions_are_read() {
        let stats = |memory: Value| json!({"cpu_stats": {"cpu_usage": {"total_usage": 7}}, "memory_stats": memory});
        let first = json!({"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 1}});
        let second = json!({"usage": 100, "stats": {"inactive_file": 40, "file": 60}});
        assert_eq!(docker_told(stats(first)), Some((7, 100, 70)));
        assert_eq!(docker_told(stats(second)), Some((7, 100, 60)));
        assert_eq!(docker_told(stats(json!({}))), None, "a container that ended");
    }

    #[test]
    fn the_machine_is_read_from_the_kernel() {
        let stat = "cpu  100 20 30 4000 500 6 7 800 90 10\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1\n";
        let memory =
            "MemTotal:       1000 kB\nMemFree:         400 kB\nInactive(file):  100 kB\nHugePages_Total:       0\n";
        let reading = machine(stat, memory).unwrap();
        assert_eq!(reading.cpu_ns, 163 * TICK_NS);
        assert_eq!((reading.memory, reading.working_set), (600 << 10, 500 << 10));
        assert!(machine("", memory).is_none() && machine(stat, "").is_none());
    }
}
