//! What to do for a pod: pure arithmetic over one [`Scene`].

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use sampan_machine::Unmet;

use super::backoff::later;
use super::command::{Command, Operation};
use super::environment::knows_services;
use super::moment::moment;
use super::probe::ProbeKind;
use super::rejection::Rejection;
use super::resize::{self, Bounds};
use super::situation::{ContainerRecord, Scene};
use super::spec;
use super::standing::{Standing, Verdict, ephemeral_standings, sandbox_attempt, sandbox_is_running, standings};
use super::volume::{self, Missing};

/// Seconds past the grace before the node kills a container itself: the runtime does so at the grace.
const SLACK_SECONDS: i64 = 2;
/// Dead runs kept of each container: the last, for its logs and its exit code.
const RUNS_KEPT: usize = 2;

/// The state a user would name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Config maps, secrets or volumes are awaited.
    Preparing,
    /// An image is looked for or pulled.
    Pulling,
    /// The sandbox or a container is being started.
    Starting,
    /// Init containers run, one after the other.
    Initializing,
    /// Every container runs, not every one is ready.
    Running,
    /// Every container is ready.
    Ready,
    /// Something failed and is tried again later.
    BackingOff,
    /// Containers are being stopped because the pod is deleted.
    Terminating,
    /// Every container ended well, for good.
    Succeeded,
    /// A container failed for good, or the pod's time was up.
    Failed,
    /// Nothing is left on the node.
    Removed,
}

/// How a pod ends that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every container ended with 0.
    Succeeded,
    /// Some container did not.
    Failed,
    /// `activeDeadlineSeconds` have passed.
    DeadlineExceeded,
    /// The node did not take it.
    Rejected(Rejection),
}

/// Which state the pod is in.
pub fn classify(scene: &Scene<'_>) -> Class {
    let situation = scene.situation;
    if situation.is_terminating() {
        return if situation.swept { Class::Removed } else { Class::Terminating };
    }
    match ending(scene) {
        Some(Ending::Succeeded) => return Class::Succeeded,
        Some(Ending::Failed | Ending::DeadlineExceeded | Ending::Rejected(_)) => return Class::Failed,
        None => {}
    }
    if sources_awaited(scene) {
        return Class::Preparing;
    }
    by_standing(scene)
}

fn by_standing(scene: &Scene<'_>) -> Class {
    let list = standings(scene);
    let any = |test: fn(&Standing) -> bool| list.iter().any(|(_, _, standing)| test(standing));
    if any(|standing| matches!(standing, Standing::ImageMissing { .. } | Standing::ImagePulling)) {
        return Class::Pulling;
    }
    if any(|standing| matches!(standing, Standing::Startable(_) | Standing::Starting)) {
        return Class::Starting;
    }
    if any(|standing| {
        matches!(
            standing,
            Standing::BackingOff { .. }
                | Standing::ImageRefused { .. }
                | Standing::StartRefused { .. }
                | Standing::Misconfigured { .. }
        )
    }) || scene.situation.setbacks.contains_key(&Operation::Sandbox)
    {
        return Class::BackingOff;
    }
    if any(|standing| matches!(standing, Standing::Blocked)) {
        let initializing = list.iter().any(|(_, is_init, standing)| *is_init && is_alive(standing));
        return if initializing { Class::Initializing } else { Class::Starting };
    }
    let ready = list.iter().filter(|(_, is_init, _)| !is_init).all(|(_, _, standing)| {
        matches!(standing, Standing::Running { ready: true, .. } | Standing::Ended { code: 0 })
    });
    if ready { Class::Ready } else { Class::Running }
}

fn is_alive(standing: &Standing) -> bool {
    matches!(standing, Standing::Running { .. } | Standing::Condemned { .. })
}

/// Whether what the pod is made of is not all there, or its volumes are not written.
fn sources_awaited(scene: &Scene<'_>) -> bool {
    match volume::plan(scene) {
        Ok(volumes) if knows_services(scene) => !volumes.is_empty() && scene.situation.volumes.is_none(),
        _ => scene.situation.records().next().is_none(),
    }
}

/// Why the volumes cannot be written, if they cannot.
pub fn volume_trouble(scene: &Scene<'_>) -> Option<String> {
    if let Some(setback) = scene.situation.setbacks.get(&Operation::Volumes) {
        return Some(setback.message.clone());
    }
    match volume::plan(scene) {
        Err(Missing::Refused(refusal)) => Some(refusal.message),
        Err(Missing::NotLookedAt) | Ok(_) => None,
    }
}

/// How the pod ended, if it did and is not being deleted. A pod whose status says it ended never runs again.
pub fn ending(scene: &Scene<'_>) -> Option<Ending> {
    let status = scene.situation.status();
    match status.phase.as_deref() {
        Some("Succeeded") => return Some(Ending::Succeeded),
        Some("Failed") if status.reason.as_deref() == Some("DeadlineExceeded") => {
            return Some(Ending::DeadlineExceeded);
        }
        Some("Failed") => return Some(Ending::Failed),
        _ => {}
    }
    if let Some(rejection) = &scene.situation.rejection {
        return Some(Ending::Rejected(rejection.clone()));
    }
    if deadline(scene).is_some_and(|deadline| deadline <= scene.now) {
        return Some(Ending::DeadlineExceeded);
    }
    let list = standings(scene);
    let failed_init = list
        .iter()
        .any(|(_, is_init, standing)| *is_init && matches!(standing, Standing::Ended { code } if *code != 0));
    if failed_init {
        return Some(Ending::Failed);
    }
    let own = list.iter().filter(|(_, is_init, _)| !is_init).map(|(_, _, standing)| match standing {
        Standing::Ended { code } => Some(*code),
        _ => None,
    });
    let codes: Option<Vec<i32>> = own.collect();
    let codes = codes.filter(|codes| !codes.is_empty())?;
    Some(if codes.iter().all(|code| *code == 0) { Ending::Succeeded } else { Ending::Failed })
}

/// When the pod's time is up.
fn deadline(scene: &Scene<'_>) -> Option<Timestamp> {
    let seconds = scene.situation.spec().active_deadline_seconds?;
    let start = scene.situation.status().start_time.as_ref()?;
    Some(later(moment(start), seconds))
}

/// What brings a pod up and keeps it up.
pub fn bring_up(scene: &Scene<'_>) -> Vec<Command> {
    let mut commands = Vec::new();
    commands.extend(prepare_volumes(scene));
    commands.extend(start_sandbox(scene));
    for (container, _, standing) in standings(scene) {
        match standing {
            Standing::ImageMissing { attempt } => commands.push(ensure_image(container, attempt)),
            Standing::Startable(spec) => commands.push(Command::StartContainer(spec)),
            Standing::Condemned { because } => commands.extend(condemn(scene, container, because)),
            Standing::Running { .. } => commands.extend(resize(scene, container)),
            _ => {}
        }
    }
    commands.extend(debug(scene));
    commands.extend(prune(scene));
    possible_now(scene, commands)
}

/// What gives a container that runs the resources it is to have.
fn resize(scene: &Scene<'_>, container: &Container) -> Option<Command> {
    let run = scene.situation.latest(&container.name).filter(|run| resize::is_due(container, run))?;
    let (container, bounds) = (container.name.clone(), Bounds::of(container));
    Some(Command::ResizeContainer { container, id: run.id.clone(), bounds })
}

/// What brings ephemeral containers up.
fn debug(scene: &Scene<'_>) -> Vec<Command> {
    let list = ephemeral_standings(scene).into_iter();
    list.filter_map(|(container, standing)| match standing {
        Standing::ImageMissing { attempt } => Some(ensure_image(container, attempt)),
        Standing::Startable(spec) => Some(Command::StartContainer(spec)),
        _ => None,
    })
    .collect()
}

/// Without what is under way already or was refused a moment ago.
fn possible_now(scene: &Scene<'_>, mut commands: Vec<Command>) -> Vec<Command> {
    commands.retain(|command| {
        let operation = command.operation();
        !scene.situation.under_way.contains(&operation) && has_waited(scene, &operation)
    });
    commands
}

fn has_waited(scene: &Scene<'_>, operation: &Operation) -> bool {
    scene.situation.setbacks.get(operation).is_none_or(|setback| setback.until() <= scene.now)
}

fn prepare_volumes(scene: &Scene<'_>) -> Option<Command> {
    let volumes = volume::plan(scene).ok().filter(|volumes| !volumes.is_empty())?;
    let digest = volume::digest(&volumes);
    (scene.situation.volumes != Some(digest)).then_some(Command::PrepareVolumes { volumes, digest })
}

fn start_sandbox(scene: &Scene<'_>) -> Option<Command> {
    let someone_lives = scene.situation.records().any(ContainerRecord::is_running);
    let wanted = !sandbox_is_running(scene) && !someone_lives;
    wanted.then(|| Command::StartSandbox(Box::new(spec::sandbox(scene, sandbox_attempt(scene)))))
}

fn ensure_image(container: &Container, attempt: u32) -> Command {
    let image = container.image.clone().unwrap_or_default();
    let policy = container.image_pull_policy.clone().unwrap_or_else(|| default_policy(&image).to_owned());
    Command::EnsureImage { container: container.name.clone(), image, policy, attempt }
}

/// `Always` for a tag `latest` or none, else `IfNotPresent`.
fn default_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    if latest { "Always" } else { "IfNotPresent" }
}

fn condemn(scene: &Scene<'_>, container: &Container, because: Verdict) -> Option<Command> {
    let run = scene.situation.latest(&container.name)?;
    let (grace_seconds, because) = match because {
        Verdict::Probe(kind) => {
            let own = kind.of(container).and_then(|probe| probe.termination_grace_period_seconds);
            let name = &container.name;
            let what = if kind == ProbeKind::Startup { "startup" } else { "liveness" };
            let message = format!("Container {name} failed {what} probe, will be restarted");
            (own.unwrap_or_else(|| scene.situation.grace_seconds()), message)
        }
        Verdict::SandboxLost => {
            (scene.situation.grace_seconds(), "Pod sandbox changed, it will be killed and re-created.".to_owned())
        }
        Verdict::Redefined => {
            let message = format!("Container {} definition changed, will be restarted", container.name);
            (scene.situation.grace_seconds(), message)
        }
        Verdict::Resized => {
            (scene.situation.grace_seconds(), format!("Container {} resize requires restart", container.name))
        }
    };
    Some(stop(scene, container, run, grace_seconds, because))
}

fn stop(
    scene: &Scene<'_>,
    container: &Container,
    run: &ContainerRecord,
    grace_seconds: i64,
    because: String,
) -> Command {
    let handler = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let hook = handler.map(|handler| spec::hook(scene.situation, container, handler));
    Command::StopContainer { container: container.name.clone(), id: run.id.clone(), grace_seconds, hook, because }
}

/// Dead runs older than those kept, removed one at a time and only when nothing else is to be done for their container.
fn prune(scene: &Scene<'_>) -> Vec<Command> {
    let runs = scene.situation.containers.values();
    let old = runs.flat_map(|runs| runs.iter().take(runs.len().saturating_sub(RUNS_KEPT)));
    old.filter(|run| !run.is_running())
        .map(|run| Command::RemoveContainer { container: run.name.clone(), id: run.id.clone() })
        .collect()
}

/// What takes a deleted pod off the node: stop what lives, then remove all.
pub fn take_down(scene: &Scene<'_>) -> Vec<Command> {
    let mut commands = stop_living(scene);
    let situation = scene.situation;
    let busy =
        situation.under_way.iter().any(|operation| matches!(operation, Operation::Start(_) | Operation::Sandbox));
    if !busy && !situation.records().any(ContainerRecord::is_running) {
        commands.push(Command::Clear);
    }
    possible_now(scene, commands)
}

/// What is left to do for a pod that ended: stop what lives, then the sandbox. Dead containers stay for their logs.
pub fn wind_up(scene: &Scene<'_>) -> Vec<Command> {
    let mut commands = stop_living(scene);
    let busy = scene.situation.under_way.iter().any(|operation| matches!(operation, Operation::Start(_)));
    let living = scene.situation.records().any(ContainerRecord::is_running);
    if sandbox_is_running(scene) && !busy && !living {
        commands.push(Command::StopSandbox);
    }
    possible_now(scene, commands)
}

fn stop_living(scene: &Scene<'_>) -> Vec<Command> {
    let situation = scene.situation;
    let mut commands = Vec::new();
    for run in situation.records().filter(|run| run.is_running()) {
        let Some(container) = situation.container(&run.name) else {
            commands.push(Command::KillContainer { container: run.name.clone(), id: run.id.clone() });
            continue;
        };
        let deadline = situation.deadlines.get(&run.name);
        let overdue = deadline.is_some_and(|deadline| later(*deadline, SLACK_SECONDS) <= scene.now);
        if overdue {
            commands.push(Command::KillContainer { container: run.name.clone(), id: run.id.clone() });
        } else {
            let message = format!("Stopping container {}", run.name);
            commands.push(stop(scene, container, run, situation.grace_seconds(), message));
        }
    }
    commands
}

/// When the pod must be looked at again though nothing has changed. Probes have times of their own.
pub fn wake_at(scene: &Scene<'_>) -> Option<Timestamp> {
    let situation = scene.situation;
    let retries = situation.setbacks.values().map(super::backoff::Setback::until);
    let kills = situation.deadlines.values().map(|deadline| later(*deadline, SLACK_SECONDS));
    let restarts = standings(scene).into_iter().filter_map(|(_, _, standing)| match standing {
        Standing::BackingOff { until, .. } => Some(until),
        _ => None,
    });
    let moments = retries.chain(kills).chain(restarts).chain(deadline(scene));
    moments.filter(|moment| *moment > scene.now).min()
}

/// What the pod waits for, by name and value.
pub fn waits(scene: &Scene<'_>, class: Class) -> Vec<Unmet> {
    let unmet =
        |guard: &str, detail: String, until: Option<Timestamp>| Unmet { guard: guard.to_owned(), detail, until };
    match class {
        Class::Succeeded | Class::Failed | Class::Removed => return Vec::new(),
        Class::Terminating => {
            let living = scene.situation.records().filter(|run| run.is_running());
            return living
                .map(|run| {
                    let deadline = scene.situation.deadlines.get(&run.name).copied();
                    unmet("every container has stopped", format!("{} runs", run.name), deadline)
                })
                .collect();
        }
        Class::Preparing => {
            if !knows_services(scene) {
                return vec![unmet("Services are known", "being looked up".to_owned(), None)];
            }
            let detail = volume_trouble(scene).unwrap_or_else(|| "being written".to_owned());
            return vec![unmet("volumes are prepared", detail, None)];
        }
        _ => {}
    }
    let list = standings(scene);
    let of_containers = list.into_iter().filter_map(|(container, _, standing)| wait_of(&container.name, standing));
    of_containers.chain(resize::waits(scene)).collect()
}

fn wait_of(name: &str, standing: Standing) -> Option<Unmet> {
    let (guard, detail, until) = match standing {
        Standing::Running { started: false, .. } => ("container has started", format!("{name}: startup probe"), None),
        Standing::Running { ready: false, .. } => ("container is ready", format!("{name}: readiness probe"), None),
        Standing::Running { .. } | Standing::Ended { .. } | Standing::Startable(_) => return None,
        Standing::Blocked => ("what comes before is done", name.to_owned(), None),
        Standing::ImageMissing { .. } | Standing::ImagePulling => ("image is present", name.to_owned(), None),
        Standing::Starting => ("container runs", name.to_owned(), None),
        Standing::Condemned { .. } => ("container has stopped", name.to_owned(), None),
        Standing::Misconfigured { message, .. } => ("configuration is complete", format!("{name}: {message}"), None),
        Standing::ImageRefused { message, until, .. } => {
            ("image is present", format!("{name}: {message}"), Some(until))
        }
        Standing::StartRefused { message, until, .. } => ("container runs", format!("{name}: {message}"), Some(until)),
        Standing::BackingOff { until, seconds } => {
            ("restart back-off has passed", format!("{name}: {seconds} s after the last exit"), Some(until))
        }
    };
    Some(Unmet { guard: guard.to_owned(), detail, until })
}
