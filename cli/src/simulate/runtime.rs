//! Containers in memory, on virtual time, to which things happen.
//!
//! It answers as Docker does: each command after a while, what changed by itself as news. Containers outlive the agent.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sampan_conformance::simulation::{BROKEN_IMAGE, Dice, FAILING_IMAGE, Mishap, TASK_IMAGE};
use sampan_nodeagent::host::{Message, PodRef, ProbedRun};
use sampan_nodeagent::pod::probe::ProbeOrder;
use sampan_nodeagent::pod::resize::Bounds;
use sampan_nodeagent::pod::{
    Command, ContainerRecord, ContainerSpec, Exit, Operation, Outcome, Refusal, RunState, Sandbox, Uid,
};

/// The exit code of what was told to stop and did: 128 + SIGTERM.
const STOPPED: i32 = 143;
/// The exit code of what was killed: 128 + SIGKILL.
const KILLED: i32 = 137;
/// The exit code Docker gives what ended with the machine.
const LOST: i32 = 255;
/// How much longer everything takes on a slow node.
const SLOWNESS: i32 = 40;

/// What there is of one pod.
pub(super) struct Holding {
    pub(super) pod: PodRef,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) containers: Vec<ContainerRecord>,
}

/// Something that will be done or told.
enum Due {
    /// A command is carried out.
    Command(PodRef, Command),
    /// A probe is answered.
    Probe(Uid, ProbedRun),
    /// A container ends by itself, with this exit code.
    Finishes(Uid, String, i32),
    /// The agent is told.
    Tell(Message),
}

/// What fails for a while, and until when.
#[derive(Default)]
struct Troubles {
    pulls: Option<Timestamp>,
    starts: Option<Timestamp>,
    sandboxes: Option<Timestamp>,
    volumes: Option<Timestamp>,
    stops: Option<Timestamp>,
    removals: Option<Timestamp>,
    probes: Option<Timestamp>,
    slow: Option<Timestamp>,
}

/// Containers in memory.
pub(super) struct VirtualRuntime {
    dice: Dice,
    holdings: BTreeMap<Uid, Holding>,
    images: BTreeSet<String>,
    due: BTreeMap<(Timestamp, u64), Due>,
    serial: u64,
    troubles: Troubles,
    /// Every run that was started: pod, container, attempt.
    started: BTreeSet<(Uid, String, u32)>,
    broken: Option<String>,
}

impl VirtualRuntime {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed, "runtime"),
            holdings: BTreeMap::new(),
            images: BTreeSet::new(),
            due: BTreeMap::new(),
            serial: 0,
            troubles: Troubles::default(),
            started: BTreeSet::new(),
            broken: None,
        }
    }

    /// A command is given; it is answered after a while.
    pub(super) fn run(&mut self, pod: PodRef, command: Command, now: Timestamp) {
        let wait = self.wait_of(&command);
        self.note(now, wait, Due::Command(pod, command));
    }

    /// A probe is made; it is answered after a while.
    pub(super) fn probe(&mut self, pod: &PodRef, order: ProbeOrder, now: Timestamp) {
        let run = ProbedRun { container: order.container, container_id: order.container_id, kind: order.kind };
        let wait = self.milliseconds(1, 20);
        self.note(now, wait, Due::Probe(pod.uid.clone(), run));
    }

    fn wait_of(&mut self, command: &Command) -> SignedDuration {
        match command {
            Command::PrepareVolumes { .. } => self.milliseconds(1, 5),
            Command::StartSandbox(_) => self.milliseconds(150, 300),
            Command::EnsureImage { image, .. } if self.images.contains(image) => self.milliseconds(1, 10),
            Command::EnsureImage { .. } => self.milliseconds(500, 4000),
            Command::StartContainer(_) => self.milliseconds(150, 400),
            Command::StopContainer { grace_seconds, .. } => {
                let grace = SignedDuration::from_secs(*grace_seconds);
                self.milliseconds(10, 3000).min(grace.max(SignedDuration::from_millis(10)))
            }
            Command::KillContainer { .. }
            | Command::ResizeContainer { .. }
            | Command::RemoveContainer { .. }
            | Command::StopSandbox => self.milliseconds(10, 100),
            Command::Clear => self.milliseconds(20, 200),
        }
    }

    fn milliseconds(&mut self, least: i64, most: i64) -> SignedDuration {
        self.dice.time(SignedDuration::from_millis(least), SignedDuration::from_millis(most))
    }

    fn note(&mut self, now: Timestamp, wait: SignedDuration, due: Due) {
        let wait = if is_on(self.troubles.slow, now) { wait * SLOWNESS } else { wait };
        self.serial += 1;
        self.due.insert((now.saturating_add(wait).unwrap_or(now), self.serial), due);
    }

    fn tell(&mut self, now: Timestamp, message: Message) {
        let wait = self.milliseconds(0, 20);
        self.note(now, wait, Due::Tell(message));
    }

    /// When something is due.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does what is due, and gives what the agent is told.
    pub(super) fn advance(&mut self, now: Timestamp) -> Vec<Message> {
        let mut told = Vec::new();
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Due::Tell(message) => told.push(message),
                Due::Probe(uid, run) => {
                    let result = self.probed(&uid, &run, now);
                    told.push(Message::Probed(uid, run, result));
                }
                Due::Finishes(uid, id, code) => self.exit(&uid, &id, code, false, now),
                Due::Command(pod, command) => {
                    if self.must_wait_for_sandbox(&pod, &command) {
                        self.note(now, SignedDuration::from_millis(20), Due::Command(pod, command));
                        continue;
                    }
                    let (uid, operation) = (pod.uid.clone(), command.operation());
                    let outcome = self.carry_out(&pod, command, now);
                    told.push(Message::Outcome(uid, operation, outcome));
                }
            }
        }
        told
    }

    /// A container waits for a sandbox that is being made.
    fn must_wait_for_sandbox(&self, pod: &PodRef, command: &Command) -> bool {
        let Command::StartContainer(spec) = command else { return false };
        let is_coming = |due: &Due| match due {
            Due::Command(other, Command::StartSandbox(sandbox)) => {
                other.uid == pod.uid && sandbox.attempt == spec.sandbox_attempt
            }
            _ => false,
        };
        self.due.values().any(is_coming)
    }

    fn carry_out(&mut self, pod: &PodRef, command: Command, now: Timestamp) -> Outcome {
        if let Some(refusal) = self.refusal(&command.operation(), now) {
            return Outcome::Refused(refusal);
        }
        match command {
            Command::PrepareVolumes { digest, .. } => Outcome::VolumesReady(digest),
            Command::StartSandbox(spec) => {
                self.serial += 1;
                let (serial, holding) = (self.serial, self.holding(pod));
                let address = Some(format!("10.64.{}.{}", serial >> 8 & 255, serial & 255));
                let id = format!("sandbox-{serial:x}-{}", pod.uid);
                let sandbox = Sandbox { id, attempt: spec.attempt, running: true, address };
                holding.sandbox = Some(sandbox.clone());
                Outcome::SandboxRunning(sandbox)
            }
            Command::EnsureImage { image, attempt, .. } => self.ensure_image(image, attempt, now),
            Command::StartContainer(spec) => self.start(pod, &spec, now),
            Command::StopContainer { id, .. } => self.stop(&pod.uid, &id, STOPPED, now),
            Command::KillContainer { id, .. } => self.stop(&pod.uid, &id, KILLED, now),
            Command::ResizeContainer { id, bounds, .. } => self.resize(&pod.uid, &id, bounds),
            Command::RemoveContainer { id, .. } => {
                self.forget(&pod.uid, &id, now);
                Outcome::Done(None)
            }
            Command::StopSandbox => {
                if let Some(sandbox) = self.holding(pod).sandbox.as_mut() {
                    sandbox.running = false;
                }
                Outcome::Done(None)
            }
            Command::Clear => {
                self.holdings.remove(&pod.uid);
                Outcome::Done(None)
            }
        }
    }

    fn refusal(&self, operation: &Operation, now: Timestamp) -> Option<Refusal> {
        let (trouble, reason) = match operation {
            Operation::Sandbox => (self.troubles.sandboxes, "FailedCreatePodSandBox"),
            Operation::Volumes => (self.troubles.volumes, "FailedMount"),
            Operation::Remove(_) | Operation::StopSandbox | Operation::Clear => {
                (self.troubles.removals, "FailedRemove")
            }
            Operation::Stop(_) | Operation::Kill(_) => (self.troubles.removals, "FailedKill"),
            Operation::Image { .. } | Operation::Start(_) | Operation::Resize(_) => (None, ""),
        };
        is_on(trouble, now).then(|| refused(reason, "the simulated runtime refuses it for a while"))
    }

    fn ensure_image(&mut self, image: String, attempt: u32, now: Timestamp) -> Outcome {
        if image == BROKEN_IMAGE || (is_on(self.troubles.pulls, now) && !self.images.contains(&image)) {
            return Outcome::Refused(refused("ErrImagePull", "no registry has it"));
        }
        let pulled = self.images.insert(image).then_some((700, 1 << 20));
        Outcome::ImagePresent { attempt, pulled }
    }

    fn holding(&mut self, pod: &PodRef) -> &mut Holding {
        let empty = || Holding { pod: pod.clone(), sandbox: None, containers: Vec::new() };
        self.holdings.entry(pod.uid.clone()).or_insert_with(empty)
    }

    fn start(&mut self, pod: &PodRef, spec: &ContainerSpec, now: Timestamp) -> Outcome {
        let sandbox = self.holdings.get(&pod.uid).and_then(|holding| holding.sandbox.as_ref());
        if !sandbox.is_some_and(|sandbox| sandbox.running && sandbox.attempt == spec.sandbox_attempt) {
            return Outcome::StartFailed(refused("CreateContainerError", "its sandbox does not run"), None);
        }
        let is_troubled = is_on(self.troubles.starts, now);
        if is_troubled && self.dice.per_mille(500) {
            return Outcome::StartFailed(refused("RunContainerError", "the runtime is out of order"), None);
        }
        let run = (pod.uid.clone(), spec.name.clone(), spec.attempt);
        let (name, attempt) = (&spec.name, spec.attempt);
        if !self.started.insert(run) {
            self.broken.get_or_insert(format!("{name} of {} was started twice as run {attempt}", pod.name));
        }
        self.serial += 1;
        let record = ContainerRecord {
            id: format!("{:x}-{}-{name}", self.serial, pod.uid),
            name: name.clone(),
            attempt,
            sandbox_attempt: spec.sandbox_attempt,
            backoff_seconds: spec.backoff_seconds,
            image: spec.image.clone(),
            image_id: format!("sha256:{}", spec.image),
            bounds: spec.bounds,
            started_at: Some(now),
            state: RunState::Running,
        };
        let holding = self.holding(pod);
        if holding.containers.iter().any(|other| other.name == *name && other.is_running()) {
            self.broken.get_or_insert(format!("{name} of {} was started while it runs", pod.name));
        }
        self.holding(pod).containers.push(record.clone());
        let fails = spec.image == FAILING_IMAGE;
        if fails || spec.image.starts_with(TASK_IMAGE) {
            let wait = self.milliseconds(50, 1500);
            self.note(now, wait, Due::Finishes(pod.uid.clone(), record.id.clone(), i32::from(fails)));
        }
        self.tell(now, Message::Container(pod.uid.clone(), record.clone()));
        if is_troubled {
            return Outcome::StartFailed(refused("RunContainerError", "nobody answered in time"), None);
        }
        Outcome::Started(record)
    }

    fn stop(&mut self, uid: &Uid, id: &str, code: i32, now: Timestamp) -> Outcome {
        let found = self.find(uid, id).cloned();
        match found {
            None => Outcome::Done(None),
            Some(record) if !record.is_running() => Outcome::Done(Some(record)),
            Some(_) if code == STOPPED && is_on(self.troubles.stops, now) => {
                Outcome::Refused(refused("FailedKill", "the container does not stop"))
            }
            Some(_) => {
                self.exit(uid, id, code, false, now);
                Outcome::Ended { id: id.to_owned(), exit: exit(code, false, now) }
            }
        }
    }

    fn resize(&mut self, uid: &Uid, id: &str, bounds: Bounds) -> Outcome {
        let holding = self.holdings.get_mut(uid);
        let record = holding.and_then(|holding| holding.containers.iter_mut().find(|record| record.id == id));
        if let Some(record) = record {
            record.bounds = bounds;
        }
        Outcome::Resized { id: id.to_owned(), bounds }
    }

    fn find(&self, uid: &Uid, id: &str) -> Option<&ContainerRecord> {
        self.holdings.get(uid)?.containers.iter().find(|record| record.id == id)
    }

    /// A container's process ends; the agent is told.
    fn exit(&mut self, uid: &Uid, id: &str, code: i32, out_of_memory: bool, now: Timestamp) {
        let holding = self.holdings.get_mut(uid);
        let record = holding.and_then(|holding| holding.containers.iter_mut().find(|record| record.id == id));
        let Some(record) = record.filter(|record| record.is_running()) else { return };
        record.state = RunState::Exited(exit(code, out_of_memory, now));
        let record = record.clone();
        self.tell(now, Message::Container(uid.clone(), record));
    }

    fn forget(&mut self, uid: &Uid, id: &str, now: Timestamp) {
        if let Some(holding) = self.holdings.get_mut(uid) {
            holding.containers.retain(|record| record.id != id);
            self.tell(now, Message::Vanished(uid.clone(), id.to_owned()));
        }
    }

    fn probed(&mut self, uid: &Uid, run: &ProbedRun, now: Timestamp) -> Result<(), String> {
        let runs = self.find(uid, &run.container_id).is_some_and(ContainerRecord::is_running);
        let is_ill = is_on(self.troubles.probes, now) && uid.0.bytes().map(u32::from).sum::<u32>() % 3 != 0;
        if runs && !is_ill { Ok(()) } else { Err("no answer".to_owned()) }
    }

    /// The agent's process ends: what it had begun is finished or never happens, and nobody hears of it.
    pub(super) fn lose_agent(&mut self, now: Timestamp) {
        let due = std::mem::take(&mut self.due);
        for (at, due) in due {
            match due {
                Due::Command(pod, command) if self.dice.per_mille(500) => {
                    if !self.must_wait_for_sandbox(&pod, &command) {
                        self.carry_out(&pod, command, now);
                    }
                }
                Due::Finishes(..) => drop(self.due.insert(at, due)),
                Due::Command(..) | Due::Probe(..) | Due::Tell(_) => {}
            }
        }
        self.due.retain(|_, due| matches!(due, Due::Finishes(..)));
    }

    /// The power goes: nothing runs any more, and what had begun never happens.
    pub(super) fn lose_power(&mut self, now: Timestamp) {
        self.due.clear();
        for holding in self.holdings.values_mut() {
            holding.sandbox.iter_mut().for_each(|sandbox| sandbox.running = false);
            for record in holding.containers.iter_mut().filter(|record| record.is_running()) {
                record.state = RunState::Exited(exit(LOST, false, now));
            }
        }
    }

    /// What there is of each pod.
    pub(super) fn holdings(&self) -> impl Iterator<Item = &Holding> {
        self.holdings.values().filter(|holding| holding.sandbox.is_some() || !holding.containers.is_empty())
    }

    /// A law that was broken.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.clone()
    }

    /// Whatever was wrong for a while is so no longer.
    pub(super) fn recover(&mut self) {
        self.troubles = Troubles::default();
    }

    /// Something befalls the containers or the runtime. Answers what.
    pub(super) fn suffer(&mut self, mishap: Mishap, chance: u64, now: Timestamp) -> Option<String> {
        let until = |lasting: SignedDuration| Some(now.saturating_add(lasting).unwrap_or(now));
        match mishap {
            Mishap::ContainerFails => return self.end_one(chance, 1, false, now),
            Mishap::ContainerFinishes => return self.end_one(chance, 0, false, now),
            Mishap::OutOfMemory => return self.end_one(chance, KILLED, true, now),
            Mishap::ContainerVanishes => {
                let (uid, record) = self.one_of(chance, |_| true)?;
                // Nothing may be left that tells of the run, so that another may bear its number.
                self.started.remove(&(uid.clone(), record.name.clone(), record.attempt));
                self.forget(&uid, &record.id, now);
                return Some(format!("{} vanishes", record.id));
            }
            Mishap::SandboxDies => return self.end_sandbox(chance, now),
            Mishap::PullsFail(lasting) => {
                self.images.clear();
                self.troubles.pulls = until(lasting);
            }
            Mishap::StartsFail(lasting) => self.troubles.starts = until(lasting),
            Mishap::SandboxesFail(lasting) => self.troubles.sandboxes = until(lasting),
            Mishap::VolumesFail(lasting) => self.troubles.volumes = until(lasting),
            Mishap::StopsAreIgnored(lasting) => self.troubles.stops = until(lasting),
            Mishap::RemovalsFail(lasting) => self.troubles.removals = until(lasting),
            Mishap::ProbesFail(lasting) => self.troubles.probes = until(lasting),
            Mishap::Slow(lasting) => self.troubles.slow = until(lasting),
        }
        Some(mishap.name().to_owned())
    }

    fn one_of(&self, chance: u64, wanted: fn(&ContainerRecord) -> bool) -> Option<(Uid, ContainerRecord)> {
        let all = self.holdings.iter().flat_map(|(uid, holding)| {
            holding.containers.iter().filter(|record| wanted(record)).map(move |record| (uid.clone(), record))
        });
        let all: Vec<_> = all.collect();
        let index = usize::try_from(chance % (all.len().max(1) as u64)).unwrap_or_default();
        all.into_iter().nth(index).map(|(uid, record)| (uid, record.clone()))
    }

    fn end_one(&mut self, chance: u64, code: i32, out_of_memory: bool, now: Timestamp) -> Option<String> {
        let (uid, record) = self.one_of(chance, ContainerRecord::is_running)?;
        self.exit(&uid, &record.id, code, out_of_memory, now);
        Some(format!("{} ends with {code}", record.id))
    }

    fn end_sandbox(&mut self, chance: u64, now: Timestamp) -> Option<String> {
        let running = |holding: &Holding| holding.sandbox.as_ref().is_some_and(|sandbox| sandbox.running);
        let uids: Vec<Uid> =
            self.holdings.iter().filter(|(_, holding)| running(holding)).map(|(uid, _)| uid.clone()).collect();
        let uid = uids.get(usize::try_from(chance % (uids.len().max(1) as u64)).unwrap_or_default())?.clone();
        let sandbox = self.holdings.get_mut(&uid)?.sandbox.as_mut()?;
        sandbox.running = false;
        let sandbox = sandbox.clone();
        let what = format!("sandbox {} ends", sandbox.id);
        self.tell(now, Message::Sandbox(uid, sandbox));
        Some(what)
    }
}

fn is_on(trouble: Option<Timestamp>, now: Timestamp) -> bool {
    trouble.is_some_and(|until| until > now)
}

fn refused(reason: &str, message: &str) -> Refusal {
    Refusal { reason: reason.to_owned(), message: message.to_owned() }
}

fn exit(code: i32, out_of_memory: bool, finished_at: Timestamp) -> Exit {
    Exit { out_of_memory, ..Exit::of(code, finished_at) }
}
