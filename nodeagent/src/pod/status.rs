//! The status of a pod, as Kubernetes shows it.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, PodCondition, PodIP, PodStatus, ResourceRequirements,
};

use super::moment::time;
use super::plan::{Class, Ending, ending, volume_trouble};
use super::quantity::QualityOfService;
use super::resize;
use super::situation::{ContainerRecord, RunState, Scene};
use super::spec::is_sidecar;
use super::standing::{Standing, ephemeral_standings, is_superseded, sandbox_is_running, standings};
use super::told;

/// A container's status, whether it is an init container, and how it stands.
type Row<'a> = (&'a Container, bool, Standing, ContainerStatus);

/// The status of the pod, with the fields and conditions others own left as they are.
pub fn status(scene: &Scene<'_>, class: Class) -> PodStatus {
    let situation = scene.situation;
    let base = situation.status();
    let rows: Vec<Row<'_>> = standings(scene)
        .into_iter()
        .map(|(container, is_init, standing)| {
            let status = container_status(scene, container, is_init, &standing);
            (container, is_init, standing, status)
        })
        .collect();
    let phase = phase(scene, class, &rows);
    let address =
        situation.sandbox.as_ref().and_then(|sandbox| sandbox.address.clone()).or_else(|| base.pod_ip.clone());
    let ending = ending(scene).filter(|_| !situation.is_terminating());
    let said = match &ending {
        Some(Ending::DeadlineExceeded) => {
            Some(("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
        }
        Some(Ending::Rejected(rejection)) => Some((rejection.reason, rejection.message.as_str())),
        Some(Ending::Succeeded | Ending::Failed) | None => None,
    };
    let (reason, message) = match said {
        Some((reason, message)) => (Some(reason.to_owned()), Some(message.to_owned())),
        None => (base.reason.clone(), base.message.clone()),
    };
    PodStatus {
        conditions: Some(conditions(scene, phase, &rows)),
        host_ip: Some(scene.node.host_ip.clone()),
        host_ips: Some(vec![HostIP { ip: scene.node.host_ip.clone() }]),
        pod_ips: address.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: address,
        phase: Some(phase.to_owned()),
        qos_class: base.qos_class.clone().or_else(|| Some(QualityOfService::of(situation.spec()).name().to_owned())),
        start_time: base.start_time.clone().or_else(|| Some(time(scene.now))),
        init_container_statuses: statuses(&rows, true),
        container_statuses: statuses(&rows, false),
        ephemeral_container_statuses: ephemeral_statuses(scene),
        observed_generation: situation.pod.metadata.generation.or(base.observed_generation),
        reason,
        message,
        ..base.clone()
    }
}

fn statuses(rows: &[Row<'_>], init: bool) -> Option<Vec<ContainerStatus>> {
    let list: Vec<ContainerStatus> =
        rows.iter().filter(|(_, is_init, ..)| *is_init == init).map(|(.., status)| status.clone()).collect();
    (!list.is_empty()).then_some(list)
}

fn ephemeral_statuses(scene: &Scene<'_>) -> Option<Vec<ContainerStatus>> {
    let list = ephemeral_standings(scene).into_iter().map(|(container, standing)| ContainerStatus {
        ready: false,
        started: None,
        ..container_status(scene, container, false, &standing)
    });
    let list: Vec<ContainerStatus> = list.collect();
    (!list.is_empty()).then_some(list)
}

fn container_status(scene: &Scene<'_>, container: &Container, is_init: bool, standing: &Standing) -> ContainerStatus {
    let situation = scene.situation;
    let name = &container.name;
    if let Some(told) = told::kept(situation, name, standing) {
        return told;
    }
    let record = situation.latest(name);
    let state = told::lost_with_pod(situation, name).unwrap_or_else(|| state(scene, standing, record));
    let waits = state.waiting.is_some();
    let last = record.filter(|record| waits && record.exit().is_some()).or_else(|| situation.previous(name));
    let last = last.map(terminated).or_else(|| told::last_state(situation, name, record));
    let running = state.running.is_some();
    let (started, ready) = match standing {
        Standing::Running { started, ready } => (*started, *ready),
        Standing::Ended { code } => (false, is_init && *code == 0),
        _ => (false, false),
    };
    let shown = record.filter(|record| record.started_at.is_some() || record.exit().is_some());
    ContainerStatus {
        name: name.clone(),
        image: shown.map(|record| record.image.clone()).or_else(|| container.image.clone()).unwrap_or_default(),
        image_id: shown.map(|record| docker(&record.image_id)).unwrap_or_default(),
        container_id: shown.map(|record| docker(&record.id)),
        restart_count: told::restarts(situation, name, record),
        ready: if is_init && !is_sidecar(container) { ready } else { ready && running },
        started: Some(started && running),
        last_state: Some(last.unwrap_or_default()),
        allocated_resources: container.resources.as_ref().and_then(|resources| resources.requests.clone()),
        resources: Some(resources(scene, container, record)),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

/// What the container has: what it was granted, unless it runs and was not given that yet.
fn resources(scene: &Scene<'_>, container: &Container, record: Option<&ContainerRecord>) -> ResourceRequirements {
    let granted = || container.resources.clone().unwrap_or_default();
    match record {
        Some(record) if resize::is_due(container, record) => {
            resize::told(scene.situation.status(), &container.name).unwrap_or_else(granted)
        }
        _ => granted(),
    }
}

/// The identifier of a run as it is told.
pub(super) fn docker(id: &str) -> String {
    format!("docker://{id}")
}

fn state(scene: &Scene<'_>, standing: &Standing, record: Option<&ContainerRecord>) -> ContainerState {
    let ended = record.filter(|record| record.exit().is_some());
    match standing {
        Standing::Running { .. } | Standing::Condemned { .. } => running(record),
        Standing::Ended { code } => ended.map_or_else(|| forgotten(*code), terminated),
        Standing::BackingOff { seconds, .. } => {
            let wait =
                if *seconds >= 60 { format!("{}m{}s", seconds / 60, seconds % 60) } else { format!("{seconds}s") };
            let (namespace, pod) = scene.situation.identity();
            let uid = scene.situation.pod.metadata.uid.as_deref().unwrap_or_default();
            let name = record.map(|record| record.name.as_str()).unwrap_or_default();
            let message = format!("back-off {wait} restarting failed container={name} pod={pod}_{namespace}({uid})");
            waiting("CrashLoopBackOff", Some(message))
        }
        Standing::Misconfigured { reason, message } => waiting(reason, Some(message.clone())),
        Standing::ImageRefused { reason, message, .. } => image_refused(scene, reason, message),
        Standing::StartRefused { reason, message, .. } => waiting(reason, Some(message.clone())),
        // What ended for good cannot run again, as far as the API is concerned: one that is to be another has not.
        _ if ended.is_some_and(|run| !is_superseded(scene.situation, run)) => ended.map(terminated).unwrap_or_default(),
        _ => {
            let has_init = !scene.situation.init_containers().is_empty();
            let reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
            waiting(reason, None)
        }
    }
}

/// The first refusal shows its own reason; while the next try is being waited for it is a back-off.
fn image_refused(scene: &Scene<'_>, reason: &str, message: &str) -> ContainerState {
    let first_look = scene.situation.setbacks.values().any(|setback| {
        setback.reason == reason && setback.message == message && setback.count == 1 && setback.at == scene.now
    });
    if first_look || reason == "ErrImageNeverPull" || reason == "InvalidImageName" {
        return waiting(reason, Some(message.to_owned()));
    }
    waiting("ImagePullBackOff", Some(format!("Back-off pulling image: {reason}: {message}")))
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn running(record: Option<&ContainerRecord>) -> ContainerState {
    let started_at = record.and_then(|record| record.started_at).map(time);
    ContainerState { running: Some(ContainerStateRunning { started_at }), ..ContainerState::default() }
}

/// An init container that ended and whose record is no longer there.
fn forgotten(code: i32) -> ContainerState {
    let reason = Some("Completed".to_owned());
    let terminated = ContainerStateTerminated { exit_code: code, reason, ..ContainerStateTerminated::default() };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn terminated(record: &ContainerRecord) -> ContainerState {
    let RunState::Exited(exit) = &record.state else { return ContainerState::default() };
    let reason = if !exit.refusal.is_empty() {
        "ContainerCannotRun"
    } else if exit.out_of_memory {
        "OOMKilled"
    } else if exit.code == 0 {
        "Completed"
    } else {
        "Error"
    };
    let message = if exit.refusal.is_empty() { &exit.message } else { &exit.refusal };
    let terminated = ContainerStateTerminated {
        container_id: Some(docker(&record.id)),
        exit_code: exit.code,
        reason: Some(reason.to_owned()),
        message: Some(message.clone()).filter(|message| !message.is_empty()),
        started_at: record.started_at.map(time).or_else(|| Some(time(exit.finished_at))),
        finished_at: Some(time(exit.finished_at)),
        signal: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// The phase, by the kubelet's rules.
fn phase(scene: &Scene<'_>, class: Class, rows: &[Row<'_>]) -> &'static str {
    match scene.situation.status().phase.as_deref() {
        Some("Succeeded") => return "Succeeded",
        Some("Failed") => return "Failed",
        _ => {}
    }
    match class {
        Class::Succeeded => return "Succeeded",
        Class::Failed => return "Failed",
        _ => {}
    }
    let living = scene.situation.records().any(ContainerRecord::is_running);
    let stopping = matches!(class, Class::Terminating | Class::Removed);
    let initialized = init_is_done(rows);
    let (mut waiting, mut ended, mut succeeded, mut running) = (0, 0, 0, 0);
    for (.., status) in rows.iter().filter(|(_, is_init, ..)| !is_init) {
        let state = status.state.clone().unwrap_or_default();
        let last_code = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        if state.running.is_some() {
            running += 1;
        } else if let Some(terminated) = &state.terminated {
            ended += 1;
            succeeded += usize::from(terminated.exit_code == 0);
        } else if last_code.is_some() {
            ended += 1;
        } else {
            waiting += 1;
        }
    }
    if stopping && !living && ended > 0 && waiting == 0 {
        return if ended == succeeded { "Succeeded" } else { "Failed" };
    }
    if stopping && !living && scene.situation.swept {
        return "Failed";
    }
    if !initialized || waiting > 0 || running + ended == 0 { "Pending" } else { "Running" }
}

fn init_is_done(rows: &[Row<'_>]) -> bool {
    rows.iter().filter(|(_, is_init, ..)| *is_init).all(|(container, _, standing, _)| match standing {
        Standing::Ended { code } => *code == 0,
        Standing::Running { started, .. } => is_sidecar(container) && *started,
        _ => false,
    })
}

/// One condition before times are put in.
struct Verdict {
    name: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn met(name: &'static str) -> Self {
        Self { name, holds: true, reason: None, message: None }
    }

    fn unmet(name: &'static str, reason: &'static str, message: Option<String>) -> Self {
        Self { name, holds: false, reason: Some(reason), message }
    }
}

fn conditions(scene: &Scene<'_>, phase: &str, rows: &[Row<'_>]) -> Vec<PodCondition> {
    let verdicts = [
        ready_to_start(scene),
        initialized(phase, rows),
        ready(scene, phase, rows),
        containers_ready("ContainersReady", phase, rows),
    ];
    let base = scene.situation.status().conditions.clone().unwrap_or_default();
    let generation = scene.situation.pod.metadata.generation;
    let mut list = base.clone();
    list.retain(|condition| !resize::CONDITIONS.contains(&&*condition.type_));
    for verdict in verdicts {
        let status = if verdict.holds { "True" } else { "False" };
        let known = base.iter().find(|condition| condition.type_ == verdict.name);
        let unchanged = known.filter(|condition| condition.status == status);
        let since = unchanged.and_then(|condition| condition.last_transition_time.clone());
        let condition = PodCondition {
            type_: verdict.name.to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.map(str::to_owned),
            message: verdict.message,
            last_probe_time: None,
            last_transition_time: since.or_else(|| Some(time(scene.now))),
            observed_generation: generation,
        };
        match list.iter_mut().find(|known| known.type_ == verdict.name) {
            Some(known) => *known = condition,
            None => list.push(condition),
        }
    }
    list.extend(resize::conditions(scene, &base));
    let scheduled = list.iter_mut().find(|condition| condition.type_ == "PodScheduled");
    match scheduled {
        Some(scheduled) => scheduled.observed_generation = generation,
        None => list.push(PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(time(scene.now)),
            observed_generation: generation,
            ..PodCondition::default()
        }),
    }
    list
}

fn ready_to_start(scene: &Scene<'_>) -> Verdict {
    if sandbox_is_running(scene) {
        return Verdict::met("PodReadyToStartContainers");
    }
    Verdict { name: "PodReadyToStartContainers", holds: false, reason: None, message: trouble(scene) }
}

fn trouble(scene: &Scene<'_>) -> Option<String> {
    let volumes = volume_trouble(scene);
    let sandbox = scene.situation.setbacks.get(&super::Operation::Sandbox).map(|setback| setback.message.clone());
    volumes.or(sandbox)
}

fn initialized(phase: &str, rows: &[Row<'_>]) -> Verdict {
    let name = "Initialized";
    if phase == "Succeeded" {
        return Verdict { name, holds: true, reason: Some("PodCompleted"), message: None };
    }
    if init_is_done(rows) {
        return Verdict::met(name);
    }
    let incomplete = rows.iter().filter(|(container, is_init, _, status)| {
        let up = is_sidecar(container) && status.started == Some(true);
        *is_init && !up && !status.ready
    });
    let names: Vec<&str> = incomplete.map(|(container, ..)| container.name.as_str()).collect();
    let message = format!("containers with incomplete status: [{}]", names.join(" "));
    Verdict::unmet(name, "ContainersNotInitialized", Some(message))
}

fn containers_ready(name: &'static str, phase: &str, rows: &[Row<'_>]) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::unmet(name, "PodCompleted", None),
        "Failed" => return Verdict::unmet(name, "PodFailed", None),
        _ => {}
    }
    let judged = rows.iter().filter(|(container, is_init, ..)| !is_init || is_sidecar(container));
    let unready: Vec<&str> =
        judged.filter(|(.., status)| !status.ready).map(|(container, ..)| container.name.as_str()).collect();
    if unready.is_empty() {
        return Verdict::met(name);
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Verdict::unmet(name, "ContainersNotReady", Some(message))
}

fn ready(scene: &Scene<'_>, phase: &str, rows: &[Row<'_>]) -> Verdict {
    let verdict = containers_ready("Ready", phase, rows);
    let gates = scene.situation.spec().readiness_gates.iter().flatten();
    let open = |name: &str| {
        let mut known = scene.situation.status().conditions.iter().flatten();
        known.any(|condition| condition.type_ == name && condition.status == "True")
    };
    let shut: Vec<String> = gates
        .filter(|gate| !open(&gate.condition_type))
        .map(|gate| {
            format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist or is not True.",
                gate.condition_type
            )
        })
        .collect();
    if !verdict.holds || shut.is_empty() {
        return verdict;
    }
    Verdict::unmet("Ready", "ReadinessGatesNotReady", Some(shut.join(", ")))
}
