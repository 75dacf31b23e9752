//! The pods of one or many nodes: told what happens, it says what is to be done.
//!
//! A host does no I/O, reads no clock and owns no thread. A shell feeds it [`Message`]s and carries out its [`Effect`]s, so
//! the very code that runs pods on Docker runs them under simulation.

mod entry;
mod listing;
mod message;
mod outcome;
mod patch;
mod room;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use sampan_machine::Crossing;

use self::entry::Entry;
pub use self::listing::Listing;
pub use self::message::{Answer, Effect, Message, PodRef, ProbedRun, StatusPost};
pub use self::turn::Hands;
use crate::pod::source::{self, SourceKey, Sources};
use crate::pod::{ContainerRecord, NodeFacts, Sandbox, Situation, Uid};

/// The pods of one or many nodes.
#[derive(Debug, Default)]
pub struct Host {
    nodes: BTreeMap<String, Arc<NodeFacts>>,
    pods: BTreeMap<Uid, Entry>,
    /// The pods of each node.
    on_node: BTreeMap<String, BTreeSet<Uid>>,
    sources: Sources,
    watchers: BTreeMap<SourceKey, BTreeSet<Uid>>,
    dirty: BTreeSet<Uid>,
    unposted: BTreeSet<Uid>,
    timers: BTreeSet<(Timestamp, Uid)>,
    /// Pods that wait for room to grow.
    deferred: BTreeSet<Uid>,
    /// How often each transition was taken.
    crossings: BTreeMap<Crossing, u64>,
    /// Tells the user of each image, creation and start.
    narrates: bool,
}

impl Host {
    /// A host of these nodes that tells of images and starts if it `narrates`: simulated nodes have none to tell of.
    pub fn new(nodes: impl IntoIterator<Item = NodeFacts>, narrates: bool) -> Self {
        let nodes = nodes.into_iter().map(|node| (node.name.clone(), Arc::new(node))).collect();
        Self { nodes, narrates, ..Self::default() }
    }

    /// Takes over what the runtime already holds of a pod. Until the object is seen nothing is done about it.
    pub fn adopt(&mut self, pod: PodRef, sandbox: Option<Sandbox>, containers: Vec<ContainerRecord>) {
        let Some(node) = self.nodes.get(&pod.node) else { return };
        let mut stub = Pod::default();
        stub.metadata.uid = Some(pod.uid.to_string());
        stub.metadata.name = Some(pod.name);
        stub.metadata.namespace = Some(pod.namespace);
        let mut entry = Entry::new(Arc::new(stub), node.clone(), false);
        entry.situation.sandbox = sandbox;
        for record in containers {
            entry.situation.observe(record);
        }
        self.on_node.entry(node.name.clone()).or_default().insert(pod.uid.clone());
        self.pods.insert(pod.uid, entry);
    }

    /// Takes in one message.
    pub fn receive(&mut self, message: Message, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        match message {
            Message::Pod(pod) => self.see(pod, now, &mut effects),
            Message::PodGone(uid) => self.lose(&uid),
            Message::Listed(uids) => {
                let missing: Vec<Uid> = self.pods.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
                for uid in &missing {
                    self.lose(uid);
                }
            }
            Message::Source(key, data) => self.see_source(key, data),
            other => self.tell(other, now, &mut effects),
        }
        effects
    }

    fn see(&mut self, pod: Arc<Pod>, now: Timestamp, effects: &mut Vec<Effect>) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let Some(node) = self.nodes.get(node) else { return };
        let uid = Uid::of(&pod);
        let rejection = if self.pods.contains_key(&uid) { None } else { self.rejection(&pod, node) };
        self.on_node.entry(node.name.clone()).or_default().insert(uid.clone());
        let entry = self.pods.entry(uid.clone()).or_insert_with(|| Entry::new(pod.clone(), node.clone(), true));
        let is_first = entry.sources.is_empty();
        let cause = format!("pods/{}/{}", entry.situation.identity().0, entry.situation.identity().1);
        let revision = pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        entry.because(&cause, revision.unwrap_or(0));
        let containers = entry.situation.ephemeral.len();
        entry.see(pod);
        if let Some(rejection) = rejection {
            entry.reject(rejection, now, effects);
        }
        // Nothing else that is referred to may change while a pod runs.
        let adds_containers = entry.situation.ephemeral.len() != containers;
        if is_first || adds_containers {
            for key in source::referenced(entry.situation.pod()) {
                let users = self.watchers.entry(key.clone()).or_default();
                if users.is_empty() {
                    effects.push(Effect::Watch(key.clone()));
                }
                users.insert(uid.clone());
                entry.sources.insert(key);
            }
        }
        self.dirty.insert(uid);
    }

    fn lose(&mut self, uid: &Uid) {
        if let Some(entry) = self.pods.get_mut(uid) {
            entry.situation.gone = true;
            entry.because("object is gone", 0);
            self.dirty.insert(uid.clone());
        }
    }

    fn see_source(&mut self, key: SourceKey, data: Option<Arc<source::Data>>) {
        let users = self.watchers.get(&key).cloned().unwrap_or_default();
        let cause = format!("{}s/{}/{}", key.kind.noun(), key.namespace, key.name);
        self.sources.observe(key, data);
        for uid in users {
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.because(&cause, 0);
                self.dirty.insert(uid);
            }
        }
    }

    /// Whatever concerns one pod that is known.
    fn tell(&mut self, message: Message, now: Timestamp, effects: &mut Vec<Effect>) {
        let uid = match &message {
            Message::Outcome(uid, ..)
            | Message::Container(uid, _)
            | Message::Sandbox(uid, _)
            | Message::Vanished(uid, _)
            | Message::Probed(uid, ..)
            | Message::Note(uid, _)
            | Message::Posted(uid, _)
            | Message::Deleted(uid, _) => uid.clone(),
            Message::Pod(_) | Message::PodGone(_) | Message::Listed(_) | Message::Source(..) => return,
        };
        let Some(entry) = self.pods.get_mut(&uid) else { return };
        if entry.take_in(message, self.narrates, now, effects) {
            self.dirty.insert(uid);
        } else {
            entry.probe(now, effects);
            self.arm(uid, now);
        }
    }

    /// Steps every pod that has something new, or whose time has come.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some((due, _)) = self.timers.first() {
            if *due > now {
                break;
            }
            let Some((_, uid)) = self.timers.pop_first() else { break };
            let Some(entry) = self.pods.get_mut(&uid) else { continue };
            entry.wake_at = None;
            if entry.is_due(now) {
                entry.because("timer", 0);
                self.dirty.insert(uid);
            } else {
                entry.probe(now, &mut effects);
                self.arm(uid, now);
            }
        }
        for uid in std::mem::take(&mut self.dirty) {
            self.weigh(&uid, now, &mut effects);
            self.step(uid, now, &mut effects);
        }
        // Whatever happened may have made room.
        for uid in self.deferred.clone() {
            if self.weigh(&uid, now, &mut effects) {
                self.step(uid, now, &mut effects);
            }
        }
        effects
    }

    fn step(&mut self, uid: Uid, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(entry) = self.pods.get_mut(&uid) else { return };
        if !entry.seen && !entry.situation.gone {
            return;
        }
        for crossing in entry.step(&self.sources, now, effects) {
            *self.crossings.entry(crossing).or_default() += 1;
        }
        if entry.is_over() {
            self.drop_pod(&uid, effects);
        } else {
            self.unposted.insert(uid.clone());
            self.arm(uid, now);
        }
    }

    /// Sets the pod's timer to when something is to be done though nothing happens.
    fn arm(&mut self, uid: Uid, now: Timestamp) {
        let Some(entry) = self.pods.get_mut(&uid) else { return };
        let next = entry.next_at(now);
        let earlier = std::mem::replace(&mut entry.wake_at, next);
        if earlier == next {
            return;
        }
        if let Some(earlier) = earlier {
            self.timers.remove(&(earlier, uid.clone()));
        }
        if let Some(next) = next {
            self.timers.insert((next, uid));
        }
    }

    fn drop_pod(&mut self, uid: &Uid, effects: &mut Vec<Effect>) {
        self.deferred.remove(uid);
        let Some(entry) = self.pods.remove(uid) else { return };
        if let Some(uids) = self.on_node.get_mut(&entry.node.name) {
            uids.remove(uid);
        }
        if let Some(wake_at) = entry.wake_at {
            self.timers.remove(&(wake_at, uid.clone()));
        }
        for key in entry.sources {
            let Some(users) = self.watchers.get_mut(&key) else { continue };
            users.remove(uid);
            if users.is_empty() {
                self.watchers.remove(&key);
                self.sources.forget(&key);
                effects.push(Effect::Unwatch(key));
            }
        }
    }

    /// The statuses to send now. Called once no immediate outcome is left, so that a pod that came up at once is told once.
    pub fn posts(&mut self, now: Timestamp) -> Vec<Effect> {
        let uids = std::mem::take(&mut self.unposted);
        uids.iter().filter_map(|uid| self.pods.get_mut(uid)?.post(&self.sources, now)).collect()
    }

    /// When to call [`Host::advance`] though nothing was received.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How often each transition was taken, as often as the chart has edges at most.
    pub fn crossings(&self) -> &BTreeMap<Crossing, u64> {
        &self.crossings
    }

    /// What is known of the pod `namespace/name` of `node`, the one that exists rather than one on its way out of the store.
    pub fn find(&self, node: &str, namespace: &str, name: &str) -> Option<&Situation> {
        let mut named = self.pods_of(node).filter(|pod| pod.identity() == (namespace, name));
        let first = named.next()?;
        let present = std::iter::once(first).chain(named).find(|pod| !pod.gone);
        Some(present.unwrap_or(first))
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::pod::plan::Class;
    use crate::pod::probe::ProbeKind;
    use crate::pod::{Exit, Operation, Outcome, RunState, Sandbox, status};

    fn pod() -> Arc<Pod> {
        let container = json!({"name": "app", "image": "app", "readinessProbe":
            {"httpGet": {"port": 80}, "periodSeconds": 1, "successThreshold": 1, "failureThreshold": 2}});
        let metadata = json!({"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7"});
        let pod = json!({"metadata": metadata, "spec": {"nodeName": "node", "containers": [container]}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn empty() -> Host {
        let node = NodeFacts {
            name: "node".to_owned(),
            host_ip: "10.0.0.1".to_owned(),
            allocatable_milli_cpu: 1000,
            allocatable_memory: 1 << 30,
            volumes: std::path::PathBuf::new(),
        };
        Host::new([node], false)
    }

    fn run(now: Timestamp, state: RunState) -> ContainerRecord {
        ContainerRecord {
            id: "c".to_owned(),
            name: "app".to_owned(),
            attempt: 0,
            sandbox_attempt: 0,
            backoff_seconds: 0,
            image: "app".to_owned(),
            image_id: String::new(),
            bounds: crate::pod::resize::Bounds::default(),
            started_at: Some(now),
            state,
        }
    }

    /// A host whose only pod runs, as an agent finds it that begins anew.
    pub(super) fn running(now: Timestamp) -> Host {
        let sandbox = Sandbox { id: "s".to_owned(), attempt: 0, running: true, address: Some("10.0.0.2".to_owned()) };
        let run = run(now, RunState::Running);
        let mut host = empty();
        let uid = Uid::of(&pod());
        let reference =
            PodRef { uid, namespace: "default".to_owned(), name: "web".to_owned(), node: "node".to_owned() };
        host.adopt(reference, Some(sandbox), vec![run]);
        host.receive(Message::Pod(pod()), now);
        host
    }

    fn probes(effects: &[Effect]) -> usize {
        effects.iter().filter(|effect| matches!(effect, Effect::Probe(..))).count()
    }

    fn answer(host: &mut Host, result: Result<(), String>, now: Timestamp) -> bool {
        let run = ProbedRun { container: "app".to_owned(), container_id: "c".to_owned(), kind: ProbeKind::Readiness };
        host.receive(Message::Probed(Uid::of(&pod()), run, result), now);
        !host.dirty.is_empty()
    }

    /// The runtime does at once what it is asked for.
    fn answer_all(host: &mut Host, now: Timestamp) {
        let uid = Uid::of(&pod());
        let sandbox = Sandbox { id: "s".to_owned(), attempt: 0, running: true, address: Some("10.0.0.2".to_owned()) };
        for operation in host.pods.get(&uid).unwrap().situation.under_way.clone() {
            let outcome = match operation {
                Operation::Sandbox => Outcome::SandboxRunning(sandbox.clone()),
                Operation::Image(_) => Outcome::ImagePresent { attempt: 0, pulled: None },
                other => panic!("{other:?} is under way"),
            };
            host.receive(Message::Outcome(uid.clone(), operation, outcome), now);
        }
    }

    #[test]
    fn a_pod_that_comes_up_is_told_of_once_it_is_up_or_after_a_moment() {
        let now = Timestamp::UNIX_EPOCH;
        let mut host = empty();
        host.receive(Message::Pod(pod()), now);
        let told = |host: &mut Host, at: Timestamp| {
            host.advance(at);
            host.posts(at).len()
        };
        assert_eq!(told(&mut host, now), 0, "its sandbox is being started");
        let moment = host.wake_at().expect("it is told of whatever happens");
        assert_eq!((moment, told(&mut host, moment)), (now + 200.milliseconds(), 1));
        assert_eq!(told(&mut running(now), now), 1, "nothing is being done that would be worth waiting for");
        let mut configured = (*pod()).clone();
        let volume = json!([{"name": "v", "configMap": {"name": "settings"}}]);
        configured.spec.as_mut().unwrap().volumes = serde_json::from_value(volume).unwrap();
        let mut host = empty();
        host.receive(Message::Pod(Arc::new(configured)), now);
        host.advance(now);
        answer_all(&mut host, now);
        assert_eq!(told(&mut host, now), 0, "its config map is being looked up");
        for key in host.watchers.keys().cloned().collect::<Vec<_>>() {
            host.receive(Message::Source(key, None), now);
        }
        assert_eq!(told(&mut host, now), 1, "it is not there, and that is worth telling");
    }

    /// The reason of the end that is told now, if anything is. The API server takes it.
    fn told_reason(host: &mut Host, now: Timestamp) -> Option<String> {
        host.advance(now);
        let patch = host.posts(now).into_iter().find_map(|effect| match effect {
            Effect::Post(post) => Some(post.patch),
            _ => None,
        })?;
        let uid = Uid::of(&pod());
        let entry = host.pods.get(&uid).unwrap();
        let mut pod = (*entry.situation.pod).clone();
        pod.status = Some(status::status(&entry.scene(&host.sources, now), Class::Failed));
        host.receive(Message::Posted(uid, Answer::Accepted(Some(Arc::new(pod)))), now);
        patch["status"]["containerStatuses"][0]["state"]["terminated"]["reason"].as_str().map(str::to_owned)
    }

    #[test]
    fn that_memory_was_wanting_is_told_of_a_pod_that_has_failed_already() {
        let now = Timestamp::UNIX_EPOCH;
        let check = |looks: &[bool], expect: &[Option<&str>]| {
            let mut host = running(now);
            let mut once = (*pod()).clone();
            once.spec.as_mut().unwrap().restart_policy = Some("Never".to_owned());
            host.receive(Message::Pod(Arc::new(once)), now);
            let told = looks.iter().map(|out_of_memory| {
                let (refusal, message) = (String::new(), String::new());
                let exit = Exit { code: 137, out_of_memory: *out_of_memory, refusal, message, finished_at: now };
                host.receive(Message::Container(Uid::of(&pod()), run(now, RunState::Exited(exit))), now);
                told_reason(&mut host, now)
            });
            assert_eq!(told.collect::<Vec<_>>(), expect.iter().map(|it| it.map(str::to_owned)).collect::<Vec<_>>());
        };
        check(&[false, true], &[Some("Error"), Some("OOMKilled")]);
        check(&[true, true], &[Some("OOMKilled"), None]);
        check(&[true, false], &[Some("OOMKilled"), None]);
    }

    #[test]
    fn a_probe_that_finds_what_the_one_before_found_steps_nothing() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut host = running(now);
        assert_eq!(probes(&host.advance(now)), 1);
        assert!(answer(&mut host, Ok(()), now), "the first answer makes the pod ready");
        host.advance(now);
        for _ in 0..3 {
            now += 1.second();
            assert_eq!(probes(&host.advance(now)), 1, "one is due each second");
            assert!(!answer(&mut host, Ok(()), now));
        }
        now += 1.second();
        host.advance(now);
        assert!(!answer(&mut host, Err("no".to_owned()), now), "one failure of two is no verdict");
        now += 1.second();
        host.advance(now);
        assert!(answer(&mut host, Err("no".to_owned()), now));
    }

    #[test]
    fn a_probe_that_takes_longer_than_its_period_is_made_again_at_once() {
        let now = Timestamp::UNIX_EPOCH;
        let mut host = running(now);
        host.advance(now);
        assert!(answer(&mut host, Ok(()), now));
        host.advance(now);
        let later = now + 1.second();
        host.advance(later);
        let run = ProbedRun { container: "app".to_owned(), container_id: "c".to_owned(), kind: ProbeKind::Readiness };
        let effects = host.receive(Message::Probed(Uid::of(&pod()), run, Ok(())), later + 3.seconds());
        assert_eq!(probes(&effects), 1);
    }

    /// Whether the status that is told, or about to be, says that the pod is ready.
    fn is_ready(host: &Host, now: Timestamp) -> bool {
        let entry = host.pods.get(&Uid::of(&pod())).unwrap();
        let status = status::status(&entry.scene(&host.sources, now), Class::Terminating);
        let mut conditions = status.conditions.into_iter().flatten();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }

    #[test]
    fn a_pod_on_its_way_out_is_asked_whether_it_takes_requests_and_is_ready_while_it_says_so() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut host = running(now);
        host.advance(now);
        answer(&mut host, Ok(()), now);
        host.advance(now);
        let mut deleted = (*pod()).clone();
        deleted.metadata.deletion_timestamp = Some(Time(now));
        deleted.metadata.deletion_grace_period_seconds = Some(30);
        host.receive(Message::Pod(Arc::new(deleted)), now);
        host.advance(now);
        assert!(is_ready(&host, now));
        for failures in 1..=2 {
            now += 1.second();
            assert_eq!(probes(&host.advance(now)), 1, "it is still asked");
            answer(&mut host, Err("no".to_owned()), now);
            assert_eq!(is_ready(&host, now), failures < 2);
        }
    }
}
