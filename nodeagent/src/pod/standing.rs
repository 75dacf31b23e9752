//! How each container of a pod stands: what it is doing, or what keeps it from being started.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use super::backoff;
use super::command::{ContainerSpec, Operation};
use super::environment::{knows_services, needs_address};
use super::probe::ProbeKind;
use super::resize;
use super::situation::{ContainerRecord, RunState, Scene, Situation};
use super::spec::{self, Run, is_sidecar};
use super::told;
use super::volume;

/// How a container stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Something before it is not done: an init container, the volumes, the sandbox.
    Blocked,
    /// What it refers to is not there.
    Misconfigured {
        /// The reason, such as `CreateContainerConfigError`.
        reason: String,
        /// What is missing.
        message: String,
    },
    /// Nobody has looked whether its image is there.
    ImageMissing {
        /// The run the image is for.
        attempt: u32,
    },
    /// Its image is being looked for or pulled.
    ImagePulling,
    /// The image could not be had; tried again at `until`.
    ImageRefused {
        /// `ErrImagePull`, `ErrImageNeverPull`, …
        reason: String,
        /// What was said.
        message: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// Nothing is missing to start it.
    Startable(Box<ContainerSpec>),
    /// It is being created and started.
    Starting,
    /// The runtime would not create it; tried again at `until`.
    StartRefused {
        /// `CreateContainerError`, …
        reason: String,
        /// What was said.
        message: String,
        /// When it is tried again.
        until: Timestamp,
    },
    /// Its process lives.
    Running {
        /// It has come up.
        started: bool,
        /// It may be sent requests.
        ready: bool,
    },
    /// Its process lives and must be restarted.
    Condemned {
        /// Why.
        because: Verdict,
    },
    /// It crashed; it is started again at `until`.
    BackingOff {
        /// When it is started again.
        until: Timestamp,
        /// The wait, in seconds.
        seconds: u32,
    },
    /// It has ended for good, with this exit code.
    Ended {
        /// The exit code.
        code: i32,
    },
}

/// Why a running container must be restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A probe says so.
    Probe(ProbeKind),
    /// The sandbox it lives in is dead.
    SandboxLost,
    /// It was made of another image than its container names now.
    Redefined,
    /// It takes notice of its new resources only when it starts.
    Resized,
}

impl Standing {
    /// Whether the container has come up: what the next init container waits for where this one is a sidecar.
    fn has_come_up(&self) -> bool {
        matches!(self, Self::Running { started: true, .. })
    }
}

/// Whether the sandbox is alive, or being made.
fn sandbox_is_coming(scene: &Scene<'_>) -> bool {
    sandbox_is_running(scene) || scene.situation.under_way.contains(&Operation::Sandbox)
}

/// Whether the sandbox is alive.
pub fn sandbox_is_running(scene: &Scene<'_>) -> bool {
    scene.situation.sandbox.as_ref().is_some_and(|sandbox| sandbox.running)
}

/// The attempt of the sandbox that is alive, or being made, or to be made.
pub fn sandbox_attempt(scene: &Scene<'_>) -> u32 {
    let runs = scene.situation.records().map(|record| record.sandbox_attempt + 1).max();
    match &scene.situation.sandbox {
        Some(sandbox) if sandbox.running => sandbox.attempt,
        Some(sandbox) => sandbox.attempt + 1,
        None => runs.unwrap_or(0),
    }
}

/// Every container of the pod with its standing: init containers first, in order.
pub fn standings<'a>(scene: &Scene<'a>) -> Vec<(&'a Container, bool, Standing)> {
    let situation = scene.situation;
    let mut list = Vec::new();
    let past_init = has_passed_init(scene);
    let mut turn = true;
    for container in situation.init_containers() {
        let standing = standing(scene, container, true, turn, past_init);
        let done = match &standing {
            Standing::Ended { code } => *code == 0 && !is_sidecar(container),
            other => is_sidecar(container) && other.has_come_up(),
        };
        turn = turn && (done || past_init);
        list.push((container, true, standing));
    }
    for container in &situation.spec().containers {
        list.push((container, false, standing(scene, container, false, turn, past_init)));
    }
    list
}

/// Every ephemeral container with its standing. They run once, and nothing waits for them: they are no part of [`standings`].
pub fn ephemeral_standings<'a>(scene: &Scene<'a>) -> Vec<(&'a Container, Standing)> {
    let list = scene.situation.ephemeral.iter();
    list.map(|container| (container, ephemeral_standing(scene, container))).collect()
}

fn ephemeral_standing(scene: &Scene<'_>, container: &Container) -> Standing {
    match scene.situation.latest(&container.name).map(|record| &record.state) {
        None => match told::only_end(scene.situation, &container.name) {
            Some(code) => Standing::Ended { code },
            None => before_start(scene, container, false, true, 0, 0),
        },
        Some(RunState::Created) => before_start(scene, container, false, true, 0, 0),
        Some(RunState::Running) => Standing::Running { started: true, ready: true },
        Some(RunState::Exited(exit)) => Standing::Ended { code: exit.code },
    }
}

/// Whether one of the pod's own containers was ever created in the present sandbox: init is then over, whatever is left of it.
fn has_passed_init(scene: &Scene<'_>) -> bool {
    let attempt = sandbox_attempt(scene);
    let mut own = scene.situation.spec().containers.iter();
    own.any(|container| {
        let newest = scene.situation.latest(&container.name);
        newest.is_some_and(|record| record.sandbox_attempt == attempt)
    })
}

fn standing(scene: &Scene<'_>, container: &Container, is_init: bool, turn: bool, past_init: bool) -> Standing {
    let Some(record) = scene.situation.latest(&container.name) else {
        if let Some(code) = told_code(scene, container, is_init) {
            return Standing::Ended { code };
        }
        if is_init && past_init && !is_sidecar(container) {
            return Standing::Ended { code: 0 };
        }
        let attempt = scene.situation.next_attempt(&container.name);
        return before_start(scene, container, is_init, turn, attempt, 0);
    };
    match &record.state {
        RunState::Running => running(scene, container, is_init, record),
        RunState::Created => before_start(scene, container, is_init, turn, record.attempt, record.backoff_seconds),
        RunState::Exited(exit) if !runs_again(scene, container, is_init, record) => Standing::Ended { code: exit.code },
        RunState::Exited(_) => {
            // What it was before says nothing of what it is to be now.
            let (due, next_wait) = if record.is_of(container) { backoff::restart(record) } else { (scene.now, 0) };
            if due > scene.now {
                return Standing::BackingOff { until: due, seconds: record.backoff_seconds };
            }
            let attempt = scene.situation.next_attempt(&container.name);
            before_start(scene, container, is_init, turn, attempt, next_wait)
        }
    }
}

fn running(scene: &Scene<'_>, container: &Container, is_init: bool, record: &ContainerRecord) -> Standing {
    let probes = &scene.situation.probes;
    let sandbox_lost =
        !sandbox_is_coming(scene) || (sandbox_is_running(scene) && record.sandbox_attempt != sandbox_attempt(scene));
    if sandbox_lost {
        return Standing::Condemned { because: Verdict::SandboxLost };
    }
    // An init container that is to come to an end does so as what it was.
    let stays = !is_init || is_sidecar(container);
    if stays && !scene.situation.is_terminating() && !record.is_of(container) {
        return Standing::Condemned { because: Verdict::Redefined };
    }
    if let Some(kind) = probes.condemned(&container.name, &record.id) {
        return Standing::Condemned { because: Verdict::Probe(kind) };
    }
    if !scene.situation.is_terminating() && resize::needs_restart(container, record) {
        return Standing::Condemned { because: Verdict::Resized };
    }
    // One that is stopped to be started again takes no requests; one of a pod on its way out says so itself.
    let condemned = !scene.situation.is_terminating()
        && scene.situation.under_way.contains(&Operation::Stop(container.name.clone()));
    Standing::Running {
        started: probes.started(container, &record.id),
        ready: probes.ready(container, &record.id) && !condemned,
    }
}

/// Whether a container that ended is started again.
fn runs_again(scene: &Scene<'_>, container: &Container, is_init: bool, record: &ContainerRecord) -> bool {
    if scene.situation.is_terminating() {
        return false;
    }
    let code = record.exit().map_or(0, |exit| exit.code);
    let pod_policy = scene.situation.restart_policy();
    if is_init && !is_sidecar(container) {
        let in_this_sandbox = record.sandbox_attempt == sandbox_attempt(scene) || has_passed_init(scene);
        return match code {
            0 => !in_this_sandbox && needs_sandbox(scene),
            _ => pod_policy != "Never",
        };
    }
    let policy = if is_sidecar(container) && is_init { "Always" } else { pod_policy };
    allows_restart(policy, code) || is_superseded(scene.situation, record)
}

/// Whether a run that ended is followed by one of another image, whatever the restart policy says: its container names that now,
/// and the run was not told to have ended for good. One that was told to wait for the next does, whatever it names meanwhile.
pub(super) fn is_superseded(situation: &Situation, run: &ContainerRecord) -> bool {
    let own = situation.spec().containers.iter().find(|container| container.name == run.name);
    let Some(container) = own.filter(|_| !situation.has_ended()) else { return false };
    let state = told::of_run(situation, run).and_then(|told| told.state.as_ref());
    if state.is_some_and(|state| state.terminated.is_some()) {
        return false;
    }
    let waits = state.is_some_and(|state| state.waiting.is_some());
    let code = run.exit().map_or(0, |exit| exit.code);
    !run.is_of(container) || (waits && !allows_restart(situation.restart_policy(), code))
}

/// Whether a container of this restart policy is started again that ended with this code.
fn allows_restart(policy: &str, code: i32) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// The code a container was told to have ended with that is not started again, though no run of it is left.
fn told_code(scene: &Scene<'_>, container: &Container, is_init: bool) -> Option<i32> {
    let situation = scene.situation;
    let code = told::end(situation, &container.name)?.exit_code;
    let policy = situation.restart_policy();
    let is_over = situation.has_ended() || situation.is_terminating();
    (is_over || (!is_init && !allows_restart(policy, code))).then_some(code)
}

/// Whether some container of the pod's own has still to run in a sandbox.
fn needs_sandbox(scene: &Scene<'_>) -> bool {
    let policy = scene.situation.restart_policy();
    scene.situation.spec().containers.iter().any(|container| {
        let exit = scene.situation.latest(&container.name).and_then(ContainerRecord::exit);
        match (exit, policy) {
            (None, _) => true,
            (Some(_), "Never") => false,
            (Some(exit), "OnFailure") => exit.code != 0,
            (Some(_), _) => true,
        }
    })
}

fn before_start(
    scene: &Scene<'_>,
    container: &Container,
    is_init: bool,
    turn: bool,
    attempt: u32,
    backoff_seconds: u32,
) -> Standing {
    let situation = scene.situation;
    let name = &container.name;
    if situation.under_way.contains(&Operation::Start(name.clone())) {
        return Standing::Starting;
    }
    if !turn {
        return Standing::Blocked;
    }
    if let Some(setback) = situation.setbacks.get(&Operation::Start(name.clone()))
        && setback.until() > scene.now
    {
        let (reason, message) = (setback.reason.clone(), setback.message.clone());
        return Standing::StartRefused { reason, message, until: setback.until() };
    }
    if let Some(standing) = image(scene, container, attempt) {
        return standing;
    }
    if !knows_services(scene) {
        return Standing::Blocked;
    }
    let Ok(volumes) = volume::plan(scene) else { return Standing::Blocked };
    let volumes_ready = volumes.is_empty() || situation.volumes == Some(volume::digest(&volumes));
    let sandbox_ready = if needs_address(container) { sandbox_is_running(scene) } else { sandbox_is_coming(scene) };
    if !volumes_ready || !sandbox_ready {
        return Standing::Blocked;
    }
    let run = Run { attempt, sandbox_attempt: sandbox_attempt(scene), backoff_seconds };
    match spec::container(scene, container, is_init, run) {
        Ok(spec) => Standing::Startable(Box::new(spec)),
        Err(refusal) => Standing::Misconfigured { reason: refusal.reason, message: refusal.message },
    }
}

/// What keeps the container's image from being used, if anything does.
fn image(scene: &Scene<'_>, container: &Container, attempt: u32) -> Option<Standing> {
    let situation = scene.situation;
    let operation = Operation::image_of(container);
    if situation.under_way.contains(&operation) {
        return Some(Standing::ImagePulling);
    }
    if let Some(setback) = situation.setbacks.get(&operation)
        && setback.until() > scene.now
    {
        let (reason, message) = (setback.reason.clone(), setback.message.clone());
        return Some(Standing::ImageRefused { reason, message, until: setback.until() });
    }
    let present = situation.images.get(&container.name) == Some(&attempt);
    (!present).then_some(Standing::ImageMissing { attempt })
}
