//! Probes: when each is due, and what its results add up to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::backoff::later;
use super::situation::Situation;

/// What a probe decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Whether the container has come up; the others wait for it.
    Startup,
    /// Whether it must be restarted.
    Liveness,
    /// Whether it may be sent requests.
    Readiness,
}

impl ProbeKind {
    /// As events name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The container's probe of this kind.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }

    const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];
}

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A command in the container must end with 0.
    Exec(Vec<String>),
    /// A request must be answered with 200 to 399.
    Http {
        /// `http` or `https`.
        scheme: String,
        /// The address to connect to.
        host: String,
        /// The port to connect to.
        port: u16,
        /// Path and query.
        path: String,
        /// Headers to send.
        headers: Vec<(String, String)>,
    },
    /// A connection must be accepted.
    Tcp {
        /// The address to connect to.
        host: String,
        /// The port to connect to.
        port: u16,
    },
    /// The server must say that it serves, in the protocol gRPC has for such questions.
    Grpc {
        /// The address to connect to.
        host: String,
        /// The port to connect to.
        port: u16,
        /// The service that is asked for; empty for the server as a whole.
        service: String,
    },
    /// The probe cannot be made; why.
    Unusable(String),
}

/// One probe to be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOrder {
    /// The container's name.
    pub container: String,
    /// The run it is for.
    pub container_id: String,
    /// What it decides.
    pub kind: ProbeKind,
    /// What to look at.
    pub target: Target,
    /// How long an answer may take, in seconds.
    pub timeout_seconds: u32,
}

/// The results of one probe of one run.
#[derive(Debug, Clone)]
struct Prober {
    container_id: String,
    next_at: Timestamp,
    in_flight: bool,
    successes: i32,
    failures: i32,
    verdict: Option<bool>,
}

/// The results of every probe of a pod.
#[derive(Debug, Clone, Default)]
pub struct Probes {
    probers: BTreeMap<(String, ProbeKind), Prober>,
}

impl Probes {
    /// Whether the run has come up.
    pub fn started(&self, container: &Container, id: &str) -> bool {
        container.startup_probe.is_none() || self.verdict(&container.name, ProbeKind::Startup, id) == Some(true)
    }

    /// Whether the run may be sent requests.
    pub fn ready(&self, container: &Container, id: &str) -> bool {
        let probe_agrees = container.readiness_probe.is_none()
            || self.verdict(&container.name, ProbeKind::Readiness, id) == Some(true);
        self.started(container, id) && probe_agrees
    }

    /// The probe that wants the run restarted.
    pub fn condemned(&self, container: &str, id: &str) -> Option<ProbeKind> {
        [ProbeKind::Startup, ProbeKind::Liveness]
            .into_iter()
            .find(|kind| self.verdict(container, *kind, id) == Some(false))
    }

    fn verdict(&self, container: &str, kind: ProbeKind, id: &str) -> Option<bool> {
        let prober = self.probers.get(&(container.to_owned(), kind))?;
        prober.verdict.filter(|_| prober.container_id == id)
    }

    /// The probes due at `now`, which are then in flight. A pod on its way out is no longer restarted, but still asked whether
    /// it takes requests: who has nowhere else to send them sends them there until the end.
    pub fn due(&mut self, situation: &Situation, now: Timestamp) -> Vec<ProbeOrder> {
        let mut orders = Vec::new();
        let is_ending = situation.is_terminating();
        if is_ending {
            let is_kept = |kind: ProbeKind, prober: &Prober| match kind {
                ProbeKind::Readiness => true,
                ProbeKind::Startup => prober.verdict == Some(true),
                ProbeKind::Liveness => false,
            };
            self.probers.retain(|(_, kind), prober| is_kept(*kind, prober));
        }
        for container in situation.init_containers().iter().chain(&situation.spec().containers) {
            let Some(run) = situation.latest(&container.name).filter(|run| run.is_running()) else { continue };
            for kind in ProbeKind::ALL.into_iter().filter(|kind| !is_ending || *kind == ProbeKind::Readiness) {
                let Some(probe) = kind.of(container) else { continue };
                if kind != ProbeKind::Startup && !self.started(container, &run.id) {
                    continue;
                }
                let key = (container.name.clone(), kind);
                if self.probers.get(&key).is_none_or(|prober| prober.container_id != run.id) {
                    let began = run.started_at.unwrap_or(now);
                    let first = later(began, i64::from(probe.initial_delay_seconds.unwrap_or(0)));
                    let verdict = inherited(situation, container, kind, &run.id);
                    self.probers.insert(key.clone(), Prober::new(&run.id, first, verdict));
                }
                let Some(prober) = self.probers.get_mut(&key) else { continue };
                let settled = kind == ProbeKind::Startup && prober.verdict == Some(true);
                if settled || prober.in_flight || prober.next_at > now {
                    continue;
                }
                prober.in_flight = true;
                prober.next_at = later(now, i64::from(probe.period_seconds.unwrap_or(10).max(1)));
                orders.push(order(situation, container, &run.id, kind, probe));
            }
        }
        orders
    }

    /// When the next probe is due. Those due already are made, or wait for something else than time.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting = self.probers.iter().filter(|((_, kind), prober)| {
            let settled = *kind == ProbeKind::Startup && prober.verdict == Some(true);
            !prober.in_flight && !settled
        });
        waiting.map(|(_, prober)| prober.next_at).filter(|at| *at > now).min()
    }

    /// Takes in a result. Says whether the verdict is another now; `None` where the result is of another run.
    pub fn record(&mut self, container: &Container, kind: ProbeKind, id: &str, succeeded: bool) -> Option<bool> {
        let prober = self.probers.get_mut(&(container.name.clone(), kind))?;
        let probe = kind.of(container).filter(|_| prober.container_id == id)?;
        prober.in_flight = false;
        let before = prober.verdict;
        if succeeded {
            prober.successes = prober.successes.saturating_add(1);
            prober.failures = 0;
            if prober.successes >= probe.success_threshold.unwrap_or(1) {
                prober.verdict = Some(true);
            }
        } else {
            prober.failures = prober.failures.saturating_add(1);
            prober.successes = 0;
            if prober.failures >= probe.failure_threshold.unwrap_or(3) {
                prober.verdict = Some(false);
            }
        }
        Some(prober.verdict != before)
    }

    /// Forgets the results of runs that are not running, so that a later run of the same pod starts afresh.
    pub fn retain_running(&mut self, containers: &BTreeMap<String, Vec<super::ContainerRecord>>) {
        self.probers.retain(|(name, _), prober| {
            let newest = containers.get(name).and_then(|runs| runs.last());
            newest.is_some_and(|run| run.id == prober.container_id && run.is_running())
        });
    }
}

impl Prober {
    fn new(container_id: &str, next_at: Timestamp, verdict: Option<bool>) -> Self {
        Self { container_id: container_id.to_owned(), next_at, in_flight: false, successes: 0, failures: 0, verdict }
    }
}

/// What the status already says of this very run: a restarted node agent takes no readiness away.
fn inherited(situation: &Situation, container: &Container, kind: ProbeKind, id: &str) -> Option<bool> {
    let statuses = situation.status().container_statuses.iter().flatten();
    let status = statuses.into_iter().find(|status| status.name == container.name)?;
    if status.container_id.as_deref()?.strip_prefix("docker://")? != id {
        return None;
    }
    match kind {
        ProbeKind::Startup => status.started.filter(|started| *started),
        ProbeKind::Readiness => Some(status.ready).filter(|ready| *ready),
        ProbeKind::Liveness => None,
    }
}

fn order(situation: &Situation, container: &Container, id: &str, kind: ProbeKind, probe: &Probe) -> ProbeOrder {
    ProbeOrder {
        container: container.name.clone(),
        container_id: id.to_owned(),
        kind,
        target: target(situation, container, probe),
        timeout_seconds: probe.timeout_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(1).max(1),
    }
}

fn target(situation: &Situation, container: &Container, probe: &Probe) -> Target {
    if let Some(exec) = &probe.exec {
        return Target::Exec(exec.command.clone().unwrap_or_default());
    }
    if let Some(http) = &probe.http_get {
        return http_target(situation, container, http);
    }
    if let Some(tcp) = &probe.tcp_socket {
        let Some(port) = resolve_port(container, &tcp.port) else { return unknown_port(&tcp.port) };
        return match tcp.host.clone().or_else(|| address(situation)) {
            Some(host) => Target::Tcp { host, port },
            None => no_address(),
        };
    }
    if let Some(grpc) = &probe.grpc {
        let Ok(port) = u16::try_from(grpc.port) else { return unknown_port(&IntOrString::Int(grpc.port)) };
        let service = grpc.service.clone().unwrap_or_default();
        return match address(situation) {
            Some(host) => Target::Grpc { host, port, service },
            None => no_address(),
        };
    }
    Target::Unusable("a probe of no kind this node knows".to_owned())
}

/// What an `httpGet` of a probe or a hook asks. The host is empty while the pod has no address.
pub fn http_target(situation: &Situation, container: &Container, http: &HTTPGetAction) -> Target {
    let Some(port) = resolve_port(container, &http.port) else { return unknown_port(&http.port) };
    let host = http.host.clone().filter(|host| !host.is_empty()).or_else(|| address(situation)).unwrap_or_default();
    let path = http.path.clone().unwrap_or_default();
    Target::Http {
        scheme: http.scheme.as_deref().unwrap_or("HTTP").to_lowercase(),
        host,
        port,
        path: if path.starts_with('/') { path } else { format!("/{path}") },
        headers: http.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone())).collect(),
    }
}

fn no_address() -> Target {
    Target::Unusable("the pod has no address".to_owned())
}

fn unknown_port(port: &IntOrString) -> Target {
    let name = match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    Target::Unusable(format!("couldn't find port: {name}"))
}

fn address(situation: &Situation) -> Option<String> {
    situation.sandbox.as_ref().and_then(|sandbox| sandbox.address.clone())
}

fn resolve_port(container: &Container, port: &IntOrString) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name.as_str()));
            named
                .map(|port| port.container_port)
                .or_else(|| name.parse().ok())
                .and_then(|port| u16::try_from(port).ok())
        }
    }
}
