//! What `sampan up` shows while things come up: a line for each that is ready, and one that says what is waited for.
//!
//! It follows the changes of the cluster until everything of the directory is up once, or for two minutes; from then on
//! `sampan status` tells.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sampan_core::store::Reader;
use tokio::time::{sleep, timeout_at};

use crate::overview::{Overview, WorkloadState};

/// Who looks longer wants to know why: `sampan status` and `sampan why` tell.
const SHOWN_FOR: Duration = Duration::from_mins(2);
/// How long changes are gathered before the cluster is looked at again: what changes faster nobody reads.
const GATHERED: Duration = Duration::from_millis(50);
/// How often the sign that something is going on turns.
const TURN: Duration = Duration::from_millis(100);
/// How many of those still waited for are named.
const NAMED_MAX: usize = 3;

/// The terminal: one line at its end that changes, and the log above it. Where there is no terminal, the log alone.
#[derive(Clone)]
pub(super) struct Console(ProgressBar);

impl Console {
    /// The terminal of this process.
    pub(super) fn open() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self(bar)
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Console {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Console {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Tells of what comes up until all of it is.
pub(super) async fn show(
    console: Console,
    reader: Reader,
    started: Instant,
    look: impl Fn() -> (Overview, bool) + Send + 'static,
) {
    let mut rising = Rising::default();
    let until = tokio::time::Instant::now() + SHOWN_FOR;
    console.0.enable_steady_tick(TURN);
    loop {
        let change = reader.listen_all();
        let (overview, is_settled) = look();
        for line in rising.news(&overview) {
            tracing::info!("{line} after {:.1} s", started.elapsed().as_secs_f64());
        }
        let waiting = waiting_for(&overview, is_settled);
        if waiting.is_empty() {
            tracing::info!("everything is up; `sampan status` and `kubectl get pods -A` show it");
            break;
        }
        console.0.set_message(format!("waiting for {}", list(&waiting)));
        if timeout_at(until, change).await.is_err() {
            tracing::warn!("still waiting for {}: `sampan why` tells what for", list(&waiting));
            break;
        }
        sleep(GATHERED).await;
    }
    console.0.finish_and_clear();
}

/// What has been told already.
#[derive(Default)]
struct Rising(BTreeSet<String>);

impl Rising {
    /// What is ready now and was not when last looked.
    fn news(&mut self, overview: &Overview) -> Vec<String> {
        let nodes = overview.nodes.iter().filter(|node| node.ready).map(|node| format!("node {} is ready", node.name));
        let workloads = overview.workloads.iter().filter(|it| is_up(it));
        // While they become fewer more are ready than are wanted: of those that are, all.
        let workloads = workloads.map(|it| format!("{} has {1} of {1} pods ready", it.object, it.desired));
        nodes.chain(workloads).filter(|line| self.0.insert(line.clone())).collect()
    }
}

/// What is not up yet. Files that are at fault are told by the log and waited for by nobody.
fn waiting_for(overview: &Overview, is_settled: bool) -> Vec<String> {
    let mut waiting = Vec::new();
    if overview.nodes.is_empty() {
        waiting.push("a node".to_owned());
    }
    waiting.extend(overview.nodes.iter().filter(|node| !node.ready).map(|node| format!("node {}", node.name)));
    if !is_settled {
        waiting.push("the manifests".to_owned());
    }
    let pending = overview.workloads.iter().filter(|it| !is_up(it));
    waiting.extend(pending.map(|it| format!("{} ({} of {} ready)", it.object, it.ready, it.desired)));
    waiting
}

fn is_up(workload: &WorkloadState) -> bool {
    workload.ready >= workload.desired
}

fn list(waiting: &[String]) -> String {
    let named: Vec<&str> = waiting.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = waiting.len().saturating_sub(NAMED_MAX);
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::NodeState;

    fn overview(node_ready: bool, ready: u64) -> Overview {
        Overview {
            nodes: vec![NodeState { name: "here".to_owned(), ready: node_ready }],
            workloads: vec![WorkloadState { object: "deployments.apps/demo/web".to_owned(), desired: 2, ready }],
            ..Overview::default()
        }
    }

    #[test]
    fn what_is_ready_is_told_once() {
        let mut rising = Rising::default();
        assert!(rising.news(&overview(false, 1)).is_empty());
        assert_eq!(rising.news(&overview(true, 1)), ["node here is ready"]);
        assert_eq!(rising.news(&overview(true, 2)), ["deployments.apps/demo/web has 2 of 2 pods ready"]);
        assert!(rising.news(&overview(true, 2)).is_empty());
        assert!(rising.news(&overview(true, 3)).is_empty(), "one that is more than are wanted is no news");
        assert_eq!(
            Rising::default().news(&overview(true, 3)).last().unwrap(),
            "deployments.apps/demo/web has 2 of 2 pods ready"
        );
    }

    #[test]
    fn what_is_not_up_is_waited_for() {
        assert_eq!(waiting_for(&Overview::default(), false), ["a node", "the manifests"]);
        let some = waiting_for(&overview(false, 1), true);
        assert_eq!(some, ["node here", "deployments.apps/demo/web (1 of 2 ready)"]);
        assert!(waiting_for(&overview(true, 2), true).is_empty());
    }

    #[test]
    fn a_long_list_is_cut() {
        let waiting: Vec<String> = (1..=5).map(|number| number.to_string()).collect();
        assert_eq!(list(&waiting), "1, 2, 3 and 2 more");
    }
}
