//! Everything known of one pod: the object, what the runtime shows, and what is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodStatus};

use super::backoff::Setback;
use super::command::Operation;
use super::probe::Probes;
use super::rejection::Rejection;
use super::resize::{self, Bounds, Wish};
use super::source::Sources;
use super::told;

/// The uid of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub Arc<str>);

impl Uid {
    /// The uid of `pod`; empty for an object that never was in a store.
    pub fn of(pod: &Pod) -> Self {
        Self(pod.metadata.uid.as_deref().unwrap_or_default().into())
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a pod may know of the node it runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// The node's internal address.
    pub host_ip: String,
    /// Milli-CPUs a container without a limit may use.
    pub allocatable_milli_cpu: i64,
    /// Bytes of memory a container without a limit may use.
    pub allocatable_memory: i64,
    /// The folder it keeps volumes in that outlive pods.
    pub volumes: PathBuf,
}

/// The container that holds a pod's namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// The runtime's identifier.
    pub id: String,
    /// Counts the sandboxes of this pod from 0.
    pub attempt: u32,
    /// Whether its process lives.
    pub running: bool,
    /// The pod's address, once attached to the network.
    pub address: Option<String>,
}

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + n when signal n killed it.
    pub code: i32,
    /// Whether the kernel killed it for want of memory.
    pub out_of_memory: bool,
    /// Why the runtime could not run it at all; empty when it ran.
    pub refusal: String,
    /// What the container left in its termination message file.
    pub message: String,
    /// When.
    pub finished_at: Timestamp,
}

impl Exit {
    /// An end of which nothing else is known.
    pub fn of(code: i32, finished_at: Timestamp) -> Self {
        Self { code, out_of_memory: false, refusal: String::new(), message: String::new(), finished_at }
    }
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Created and never started.
    Created,
    /// Its process lives.
    Running,
    /// Its process ended.
    Exited(Exit),
}

/// One run of a container, as the runtime shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRecord {
    /// The runtime's identifier.
    pub id: String,
    /// The container's name in the pod.
    pub name: String,
    /// Counts the runs of this container from 0.
    pub attempt: u32,
    /// The attempt of the sandbox it joined.
    pub sandbox_attempt: u32,
    /// How long to wait after this run ends before the next, in seconds.
    pub backoff_seconds: u32,
    /// The image as the pod names it.
    pub image: String,
    /// The image's digest as the runtime names it.
    pub image_id: String,
    /// What it gets of its node.
    pub bounds: Bounds,
    /// When its process was started.
    pub started_at: Option<Timestamp>,
    /// What it is doing.
    pub state: RunState,
}

impl ContainerRecord {
    /// Whether its process lives.
    pub fn is_running(&self) -> bool {
        self.state == RunState::Running
    }

    /// How it ended, if it did.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            RunState::Exited(exit) => Some(exit),
            RunState::Created | RunState::Running => None,
        }
    }

    /// Whether it was made of the image `container` names now: all else of a running pod's containers that may change, may
    /// while they run.
    pub fn is_of(&self, container: &Container) -> bool {
        container.image.as_deref().unwrap_or_default() == self.image
    }

    /// Whether `other`, of the same container, was observed later. That memory was wanting is often seen after the end, and
    /// never taken back: a look that was made between the two may arrive last.
    fn is_older_than(&self, other: &Self) -> bool {
        let rank = |record: &Self| match &record.state {
            RunState::Created => 0,
            RunState::Running => 1,
            RunState::Exited(exit) if !exit.out_of_memory => 2,
            RunState::Exited(_) => 3,
        };
        (self.started_at, rank(self)) <= (other.started_at, rank(other))
    }
}

/// Everything known of one pod.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The object as last seen, with the resources its node grants.
    pub pod: Arc<Pod>,
    /// What it would have, where that is something else.
    pub wish: Option<Wish>,
    /// New resources were granted, and not all containers are known to have them.
    pub resizing: bool,
    /// Its ephemeral containers.
    pub ephemeral: Vec<Container>,
    /// The object no longer exists: whatever runs must go.
    pub gone: bool,
    /// The sandbox, dead or alive.
    pub sandbox: Option<Sandbox>,
    /// Runs of each container, oldest first.
    pub containers: BTreeMap<String, Vec<ContainerRecord>>,
    /// The newest run of each container there ever was, whatever became of it.
    pub attempts: BTreeMap<String, u32>,
    /// Operations given to the runtime and not answered yet.
    pub under_way: BTreeSet<Operation>,
    /// Operations the runtime refused, until they succeed.
    pub setbacks: BTreeMap<Operation, Setback>,
    /// For which attempt of each container the image is known to be present.
    pub images: BTreeMap<String, u32>,
    /// The digest of the volumes as last written.
    pub volumes: Option<u64>,
    /// What the probes found.
    pub probes: Probes,
    /// When the pod was first seen on its way out.
    pub terminating_since: Option<Timestamp>,
    /// Containers told to stop because the pod goes, and when each must be dead.
    pub deadlines: BTreeMap<String, Timestamp>,
    /// The runtime holds nothing of this pod any more.
    pub swept: bool,
    /// The node does not take it.
    pub rejection: Option<Rejection>,
}

impl Situation {
    /// A pod of which the runtime shows nothing yet.
    pub fn new(pod: Arc<Pod>) -> Self {
        let (pod, wish) = resize::separate(pod, &PodSpec::default());
        Self {
            ephemeral: ephemeral_containers(&pod),
            pod,
            wish,
            resizing: false,
            gone: false,
            sandbox: None,
            containers: BTreeMap::new(),
            attempts: BTreeMap::new(),
            under_way: BTreeSet::new(),
            setbacks: BTreeMap::new(),
            images: BTreeMap::new(),
            volumes: None,
            probes: Probes::default(),
            terminating_since: None,
            deadlines: BTreeMap::new(),
            swept: false,
            rejection: None,
        }
    }

    /// Takes in what the API server holds now.
    pub fn take(&mut self, pod: Arc<Pod>) {
        self.ephemeral = ephemeral_containers(&pod);
        let (pod, mut wish) = resize::separate(pod, self.spec());
        if let (Some(wish), Some(known)) = (&mut wish, self.wish.take()) {
            wish.pending = known.pending;
        }
        let before = std::mem::replace(&mut self.pod, pod);
        self.wish = wish;
        self.forget_images(&before);
    }

    /// What was found of the image a container named before says nothing of the one it names now.
    fn forget_images(&mut self, before: &Pod) {
        let pod = self.pod.clone();
        for container in containers(&pod) {
            let known = containers(before).find(|known| known.name == container.name);
            if let Some(known) = known.filter(|known| known.image != container.image) {
                self.images.remove(&container.name);
                self.setbacks.remove(&Operation::image_of(known));
                self.setbacks.remove(&Operation::Start(container.name.clone()));
            }
        }
    }

    /// The node grants the pod what it wishes for.
    pub fn grant(&mut self) {
        if let Some(wish) = self.wish.take() {
            self.pod = wish.pod;
            self.resizing = true;
        }
    }

    /// Whether it takes room on its node.
    pub fn takes_room(&self) -> bool {
        !self.has_ended() && !self.swept && self.rejection.is_none()
    }

    /// Whether it was told to have ended for good.
    pub fn has_ended(&self) -> bool {
        matches!(self.status().phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// The desired pod.
    pub fn spec(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.pod.spec.as_ref().unwrap_or(&EMPTY)
    }

    /// When its containers are started again that ended.
    pub fn restart_policy(&self) -> &str {
        self.spec().restart_policy.as_deref().unwrap_or("Always")
    }

    /// The status the API server holds.
    pub fn status(&self) -> &PodStatus {
        static EMPTY: std::sync::LazyLock<PodStatus> = std::sync::LazyLock::new(PodStatus::default);
        self.pod.status.as_ref().unwrap_or(&EMPTY)
    }

    /// The pod as the API server shows it.
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// The pod's namespace and name.
    pub fn identity(&self) -> (&str, &str) {
        let metadata = &self.pod.metadata;
        (metadata.namespace.as_deref().unwrap_or("default"), metadata.name.as_deref().unwrap_or_default())
    }

    /// Init containers in order.
    pub fn init_containers(&self) -> &[Container] {
        self.spec().init_containers.as_deref().unwrap_or_default()
    }

    /// The container named `name`, whatever its kind.
    pub fn container(&self, name: &str) -> Option<&Container> {
        let all = self.init_containers().iter().chain(&self.spec().containers).chain(&self.ephemeral);
        all.into_iter().find(|container| container.name == name)
    }

    /// Whether the operation is for an image its container names no more.
    pub fn is_outdated(&self, operation: &Operation) -> bool {
        let Operation::Image { container, .. } = operation else { return false };
        self.container(container).is_none_or(|container| Operation::image_of(container) != *operation)
    }

    /// The container whose processes an ephemeral container sees, where it names one.
    pub fn target_of(&self, name: &str) -> Option<&str> {
        let mut ephemeral = self.spec().ephemeral_containers.iter().flatten();
        ephemeral.find(|container| container.name == name)?.target_container_name.as_deref()
    }

    /// The newest run of a container.
    pub fn latest(&self, name: &str) -> Option<&ContainerRecord> {
        self.containers.get(name)?.last()
    }

    /// The run before the newest.
    pub fn previous(&self, name: &str) -> Option<&ContainerRecord> {
        self.containers.get(name)?.iter().rev().nth(1)
    }

    /// Every run of every container.
    pub fn records(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.containers.values().flatten()
    }

    /// Takes in how a run ended that is otherwise known.
    pub fn conclude(&mut self, name: &str, id: &str, exit: Exit) {
        let runs = self.containers.get_mut(name);
        if let Some(run) = runs.and_then(|runs| runs.iter_mut().find(|run| run.id == id)) {
            run.state = RunState::Exited(exit);
        }
    }

    /// Takes in what a run gets of its node.
    pub fn resize(&mut self, name: &str, id: &str, bounds: Bounds) {
        let runs = self.containers.get_mut(name);
        if let Some(run) = runs.and_then(|runs| runs.iter_mut().find(|run| run.id == id)) {
            run.bounds = bounds;
        }
    }

    /// Takes in what the runtime shows of one run; what was observed earlier never overwrites what was observed later.
    pub fn observe(&mut self, record: ContainerRecord) {
        let newest = self.attempts.entry(record.name.clone()).or_default();
        *newest = record.attempt.max(*newest);
        let runs = self.containers.entry(record.name.clone()).or_default();
        match runs.iter_mut().find(|known| known.id == record.id) {
            Some(known) if known.is_older_than(&record) => *known = record,
            Some(_) => {}
            None => {
                let place = runs.partition_point(|known| known.attempt <= record.attempt);
                runs.insert(place, record);
            }
        }
    }

    /// The number of a container's next run. Somebody may have removed the runs before it, and the agent may be another
    /// than the one that started them: what was told counts as well.
    pub fn next_attempt(&self, name: &str) -> u32 {
        let seen = self.attempts.get(name).map(|attempt| attempt.saturating_add(1));
        seen.max(told::next_attempt(self, name)).unwrap_or(0)
    }

    /// Forgets a run that the runtime no longer holds.
    pub fn forget(&mut self, id: &str) {
        for runs in self.containers.values_mut() {
            runs.retain(|record| record.id != id);
        }
        self.containers.retain(|_, runs| !runs.is_empty());
        if self.sandbox.as_ref().is_some_and(|sandbox| sandbox.id == id) {
            self.sandbox = None;
        }
    }

    /// Whether the object is on its way out.
    pub fn is_terminating(&self) -> bool {
        self.gone || self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Seconds between SIGTERM and SIGKILL: the deletion's if the pod is being deleted, else the pod's.
    pub fn grace_seconds(&self) -> i64 {
        let asked = self.pod.metadata.deletion_grace_period_seconds.filter(|_| self.is_terminating());
        asked.or(self.spec().termination_grace_period_seconds).unwrap_or(30).max(0)
    }
}

/// A pod's init containers and its own.
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

/// What `kubectl debug` added to the pod, in the words of other containers.
pub(super) fn ephemeral_containers(pod: &Pod) -> Vec<Container> {
    let list = pod.spec.as_ref().and_then(|spec| spec.ephemeral_containers.as_ref()).into_iter().flatten();
    let plain = |container: &EphemeralContainer| {
        let container = container.clone();
        Container {
            name: container.name,
            image: container.image,
            image_pull_policy: container.image_pull_policy,
            command: container.command,
            args: container.args,
            env: container.env,
            env_from: container.env_from,
            working_dir: container.working_dir,
            security_context: container.security_context,
            stdin: container.stdin,
            stdin_once: container.stdin_once,
            tty: container.tty,
            termination_message_path: container.termination_message_path,
            termination_message_policy: container.termination_message_policy,
            volume_mounts: container.volume_mounts,
            ..Container::default()
        }
    };
    list.map(plain).collect()
}

/// One look at a pod: what is known, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The pod.
    pub situation: &'a Situation,
    /// The config maps and secrets it refers to.
    pub sources: &'a Sources,
    /// The node it runs on.
    pub node: &'a NodeFacts,
    /// The time.
    pub now: Timestamp,
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    fn situation(told: Option<i32>) -> Situation {
        let statuses: Vec<_> = told
            .map(|count| {
                json!({"name": "app", "containerID": "docker://x", "restartCount": count, "image": "", "imageID": "",
                    "ready": true})
            })
            .into_iter()
            .collect();
        let pod = json!({"metadata": {}, "spec": {"containers": []}, "status": {"containerStatuses": statuses}});
        Situation::new(Arc::new(serde_json::from_value(pod).unwrap()))
    }

    /// A run as it is observed: its id is its attempt's number.
    pub(crate) fn run(attempt: u32) -> ContainerRecord {
        ContainerRecord {
            id: attempt.to_string(),
            name: "app".to_owned(),
            attempt,
            sandbox_attempt: 0,
            backoff_seconds: 0,
            image: String::new(),
            image_id: String::new(),
            bounds: Bounds::default(),
            started_at: None,
            state: RunState::Running,
        }
    }

    #[test]
    fn a_run_that_somebody_removed_keeps_its_number() {
        let check = |told: Option<i32>, seen: &[u32], expect: u32| {
            let mut situation = situation(told);
            seen.iter().for_each(|attempt| situation.observe(run(*attempt)));
            seen.iter().for_each(|attempt| situation.forget(&attempt.to_string()));
            assert_eq!(situation.next_attempt("app"), expect, "told {told:?}, seen {seen:?}");
        };
        check(None, &[], 0);
        check(None, &[0], 1);
        check(None, &[1, 0], 2);
        check(Some(4), &[], 5);
        check(Some(4), &[7], 8);
    }

    #[test]
    fn that_memory_was_wanting_is_taken_in_after_the_end_and_never_taken_back() {
        let ended = |out_of_memory: bool| {
            let exit = Exit { out_of_memory, ..Exit::of(137, Timestamp::UNIX_EPOCH) };
            ContainerRecord { state: RunState::Exited(exit), ..run(0) }
        };
        let check = |looks: &[ContainerRecord], expect: &ContainerRecord| {
            let mut situation = situation(None);
            looks.iter().for_each(|look| situation.observe(look.clone()));
            assert_eq!(situation.latest("app"), Some(expect), "{looks:?}");
        };
        check(&[run(0), ended(false)], &ended(false));
        check(&[run(0), ended(false), ended(true)], &ended(true));
        check(&[run(0), ended(true), ended(true)], &ended(true));
        check(&[run(0), ended(true), ended(false), run(0)], &ended(true));
    }
}
