//! What the server has done, for `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sampan_core::gateway::Cluster;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0];

/// What a request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Observed {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static str,
}

/// Counts of requests, by what they asked and what they were answered: as many rows as verbs, resource types and codes.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<Observed, Row>>,
    pub(crate) watchers: AtomicU64,
}

#[derive(Default)]
struct Row {
    codes: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn observe(&self, observed: &Observed, code: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let row = requests.entry(*observed).or_default();
        *row.codes.entry(code).or_default() += 1;
        let seconds = took.as_secs_f64();
        for (bucket, _) in row.buckets.iter_mut().zip(BUCKETS).filter(|(_, bound)| seconds <= *bound) {
            *bucket += 1;
        }
        row.count += 1;
        row.seconds += seconds;
    }

    /// The text of `/metrics`, in the Prometheus exposition format.
    pub(crate) fn text(&self, cluster: &Cluster) -> String {
        let mut out = String::new();
        let store = cluster.store().reader().metrics();
        gauge(&mut out, "sampan_store_revision", "The revision of the last change.", store.revision.0);
        gauge(&mut out, "sampan_store_floor_revision", "The oldest revision a watch can start from.", store.floor.0);
        counter(&mut out, "sampan_store_groups_total", "Groups of writes made durable.", store.groups);
        counter(&mut out, "sampan_store_syncs_total", "Waits for the disk.", store.syncs);
        counter(&mut out, "sampan_store_writes_total", "Requests committed.", store.writes);
        counter(&mut out, "sampan_store_refusals_total", "Requests refused at the commit.", store.refusals);
        let watchers = self.watchers.load(Ordering::Relaxed);
        gauge(&mut out, "sampan_watchers", "Watches being served.", watchers);
        self.write_requests(&mut out);
        out
    }

    fn write_requests(&self, out: &mut String) {
        const TOTAL: &str = "apiserver_request_total";
        const DURATION: &str = "apiserver_request_duration_seconds";
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        header(out, TOTAL, "Requests answered.", "counter");
        for (Observed { verb, resource }, row) in requests.iter() {
            for (code, count) in &row.codes {
                line(out, &format!("{TOTAL}{{verb={verb:?},resource={resource:?},code=\"{code}\"}} {count}"));
            }
        }
        header(out, DURATION, "Time from the head of a request to the head of its answer.", "histogram");
        for (Observed { verb, resource }, row) in requests.iter() {
            let labels = format!("verb={verb:?},resource={resource:?}");
            for (bound, count) in BUCKETS.iter().zip(row.buckets) {
                line(out, &format!("{DURATION}_bucket{{{labels},le=\"{bound}\"}} {count}"));
            }
            line(out, &format!("{DURATION}_bucket{{{labels},le=\"+Inf\"}} {}", row.count));
            line(out, &format!("{DURATION}_sum{{{labels}}} {}", row.seconds));
            line(out, &format!("{DURATION}_count{{{labels}}} {}", row.count));
        }
    }
}

fn gauge(out: &mut String, name: &str, help: &str, value: u64) {
    header(out, name, help, "gauge");
    line(out, &format!("{name} {value}"));
}

fn counter(out: &mut String, name: &str, help: &str, value: u64) {
    header(out, name, help, "counter");
    line(out, &format!("{name} {value}"));
}

fn header(out: &mut String, name: &str, help: &str, kind: &str) {
    line(out, &format!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to memory cannot fail");
}
