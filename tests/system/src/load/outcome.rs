//! What came of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Failures that are told one by one.
const TOLD: usize = 10;

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it was sent.
    pub door: SocketAddr,
    /// Whether it had a connection of its own.
    pub is_fresh: bool,
    /// When it was to be sent.
    pub due: Instant,
    /// When it was.
    pub began: Instant,
    /// When it was over.
    pub ended: Instant,
    /// The pod that answered, or why that is none.
    pub answered: Result<String, String>,
}

/// What came of every request.
#[derive(Debug)]
pub struct Outcome {
    requests: Vec<Request>,
}

impl Outcome {
    pub(super) fn new(mut requests: Vec<Request>) -> Self {
        requests.sort_by_key(|request| request.due);
        Self { requests }
    }

    /// All requests, in the order they were due.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Those that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|request| request.answered.is_err())
    }

    /// How many of those requests each pod answered.
    pub fn by_pod(&self, which: impl Fn(&Request) -> bool) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for pod in self.requests.iter().filter(|request| which(request)).flat_map(|request| &request.answered) {
            *counts.entry(pod.clone()).or_default() += 1;
        }
        counts
    }

    /// What `percent` of all stay under, from the moment a request was due to the end of its answer.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut took: Vec<Duration> = self.requests.iter().map(|request| request.ended - request.due).collect();
        took.sort();
        let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(at).copied().unwrap_or_default()
    }

    /// The same, where no request failed.
    ///
    /// # Errors
    /// When one did, with the first of them.
    pub fn without_failure(self) -> Result<Self> {
        let Some(first) = self.requests.first().map(|request| request.due) else { bail!("nothing was asked") };
        let told: Vec<String> = self.failed().take(TOLD).map(|request| told(request, first)).collect();
        if told.is_empty() { Ok(self) } else { bail!("{self}:\n{}", told.join("\n")) }
    }
}

fn told(request: &Request, first: Instant) -> String {
    let Request { door, is_fresh, due, began, ended, answered } = request;
    let connection = if *is_fresh { "a connection of its own" } else { "a connection that was kept" };
    let after = due.duration_since(first);
    let late = began.duration_since(*due);
    let reason = answered.as_ref().err().map_or("", String::as_str);
    format!("after {after:.1?}, sent {late:.1?} late to {door} on {connection}, {:.1?}: {reason}", *ended - *began)
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, failed) = (self.requests.len(), self.failed().count());
        write!(out, "{all} requests, {failed} failed, p50 {:.1?}, p99 {:.1?}", self.percentile(50), self.percentile(99))
    }
}
