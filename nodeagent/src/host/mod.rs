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
#[cfg(test)]
mod tests;
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
