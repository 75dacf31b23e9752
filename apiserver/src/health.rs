//! How the server is: what anybody may ask.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sampan_core::object::ObjectKey;
use sampan_core::status::Status;
use sampan_core::why::Waiting;
use serde_json::json;

use crate::request::Query;
use crate::response::{self, Body, Response};
use crate::server::VERSION;
use crate::state::State;

const TEXT: &str = "text/plain; charset=utf-8";

/// A part of the process beside the server, as `/readyz` and `/metrics` show it.
pub trait Part: Send + Sync {
    /// Its name, such as `operators`.
    fn name(&self) -> &'static str;

    /// What keeps it from its work, for people; nothing where it does it.
    fn problem(&self) -> Option<String>;

    /// What an object waits for because of how the part is.
    fn keeps_waiting(&self, _key: &ObjectKey) -> Vec<Waiting> {
        Vec::new()
    }

    /// Adds its figures, in the Prometheus exposition format.
    fn write_metrics(&self, out: &mut String);
}

/// Whether the server and what works beside it have come up.
#[derive(Default)]
pub(crate) struct Health {
    ready: AtomicBool,
    parts: Mutex<Vec<Arc<dyn Part>>>,
}

impl Health {
    /// Says that it has, or no longer is.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Shows a part from now on.
    pub(crate) fn add(&self, part: Arc<dyn Part>) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// The parts shown.
    pub(crate) fn parts(&self) -> Vec<Arc<dyn Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The answer to a health path; `None` where the path is none. Below each of them its checks are asked one by one.
pub(crate) fn answer(path: &str, query: &Query, state: &State) -> Option<Response> {
    if path == "/version" {
        return Some(response::json(200, &version(), true));
    }
    let mut segments = path.trim_matches('/').splitn(2, '/');
    let root = segments.next()?;
    let found = match root {
        "healthz" | "livez" => vec![("ping", None)],
        "readyz" => readiness(state),
        _ => return None,
    };
    match segments.next() {
        None => Some(checks(root, query, &found)),
        Some(name) => {
            let alone: Vec<Check> = found.into_iter().filter(|(known, _)| *known == name).collect();
            (!alone.is_empty()).then(|| checks(&format!("{root}/{name}"), query, &alone))
        }
    }
}

/// A check by name, and what it found wrong.
type Check = (&'static str, Option<String>);

fn readiness(state: &State) -> Vec<Check> {
    let problem = |is_there: bool, what: &str| is_there.then(|| what.to_owned());
    let starts = !state.health.ready.load(Ordering::Acquire);
    let ends = state.shutdown.is_cancelled();
    let parts = state.health.parts();
    let beside = parts.iter().map(|part| (part.name(), part.problem()));
    let own = [
        ("ping", None),
        ("started", problem(starts, "the server has not come up yet")),
        ("shutdown", problem(ends, "the server is ending")),
    ];
    own.into_iter().chain(beside).collect()
}

fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": "35", "gitVersion": format!("{VERSION}+sampan"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, go_architecture()),
    })
}

/// The architecture in the words of the field.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What the checks under a path found. Those that the query excludes fail nothing.
fn checks(path: &str, query: &Query, checks: &[Check]) -> Response {
    let excluded = |name: &str| query.all("exclude").any(|it| it == name);
    let failed = checks.iter().any(|(name, problem)| problem.is_some() && !excluded(name));
    if !failed && !query.flag("verbose") {
        return response::typed(200, Body::Full("ok".into()), TEXT);
    }
    let mut lines: String = checks
        .iter()
        .map(|(name, problem)| match problem {
            _ if excluded(name) => format!("[+]{name} excluded: ok\n"),
            None => format!("[+]{name} ok\n"),
            Some(problem) => format!("[-]{name} failed: {problem}\n"),
        })
        .collect();
    let unknown: Vec<String> = query
        .all("exclude")
        .filter(|name| !checks.iter().any(|(known, _)| known == name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {}\n", unknown.join(",")));
    }
    lines.push_str(&format!("{path} check {}\n", if failed { "failed" } else { "passed" }));
    let code = if failed { Status::unavailable("").code } else { 200 };
    response::typed(code, Body::Full(lines.into()), TEXT)
}
