//! A node, the wire to it, and its power.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sampan_core::gateway::Gateway;
use sampan_core::object::{Object, ObjectKey, Revision};
use sampan_core::resource::PERSISTENT_VOLUMES;
use sampan_core::store::{Event, Snapshot, WatchChange};

use super::laws::PODS;
use super::node::{News, Node, Want};

/// How long a turn of an agent takes.
const TURN: SignedDuration = SignedDuration::from_micros(50);

/// A node, the wire to it, and its power.
pub(super) struct Site {
    pub(super) name: String,
    pub(super) node: Box<dyn Node>,
    /// How far its clock is ahead of the true time.
    pub(super) clock: SignedDuration,
    pub(super) is_powered: bool,
    pub(super) is_cut_off: bool,
    /// Counts the lives of its agent: what was asked in another is answered to nobody.
    pub(super) life: u64,
    /// Counts its connections: what is on the way when one breaks is lost.
    pub(super) connection: u64,
    /// Whether its watches are under way.
    pub(super) is_watching: bool,
    /// Up to where its watches told, where they can be resumed.
    cursor: Option<Revision>,
    /// Up to where the server has sent.
    sent: Revision,
    on_the_way: u64,
    /// News comes in order.
    last_arrival: Timestamp,
    busy_until: Timestamp,
    watches: BTreeSet<ObjectKey>,
}

impl Site {
    pub(super) fn new(name: String, node: Box<dyn Node>, now: Timestamp) -> Self {
        Self {
            name,
            node,
            clock: SignedDuration::ZERO,
            is_powered: true,
            is_cut_off: false,
            life: 0,
            connection: 0,
            is_watching: false,
            cursor: None,
            sent: Revision(0),
            on_the_way: 0,
            last_arrival: now,
            busy_until: now,
            watches: BTreeSet::new(),
        }
    }

    /// The time by its own clock.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.clock).unwrap_or(now)
    }

    /// When it has something to do, by the true time.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let due = self.node.wake_at().filter(|_| self.is_powered)?;
        Some(due.saturating_sub(self.clock).unwrap_or(due).max(self.busy_until))
    }

    /// The agent's thread runs once.
    pub(super) fn advance(&mut self, now: Timestamp, gateway: &Gateway) -> Vec<Want> {
        self.busy_until = now.saturating_add(TURN).unwrap_or(now);
        let time = self.time(now);
        self.node.advance(time, gateway)
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.is_powered && !self.is_cut_off
    }

    /// The connection breaks. Unless it is resumed, what follows begins with a list.
    pub(super) fn disconnect(&mut self, can_resume: bool) {
        if self.is_watching && self.on_the_way == 0 {
            self.cursor = Some(self.sent);
        }
        if !can_resume {
            self.cursor = None;
        }
        self.is_watching = false;
        self.on_the_way = 0;
        self.connection += 1;
    }

    /// The agent's process ends.
    pub(super) fn end_life(&mut self) {
        self.disconnect(false);
        self.watches.clear();
        self.life += 1;
    }

    /// From where its watches can be resumed.
    pub(super) fn cursor(&self) -> Option<Revision> {
        self.cursor
    }

    /// Its watches are under way: all until `revision` is sent.
    pub(super) fn is_sent(&mut self, revision: Revision) {
        self.is_watching = true;
        self.sent = revision;
    }

    /// News was taken in that reaches up to `revision`.
    pub(super) fn heard(&mut self, revision: Option<Revision>) {
        self.on_the_way = self.on_the_way.saturating_sub(1);
        self.cursor = revision.or(self.cursor);
    }

    /// When news sent to arrive at `at` does: never before what was sent before it.
    pub(super) fn arrival(&mut self, at: Timestamp) -> Timestamp {
        self.on_the_way += 1;
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    pub(super) fn watch(&mut self, key: ObjectKey) {
        self.watches.insert(key);
    }

    pub(super) fn unwatch(&mut self, key: &ObjectKey) {
        self.watches.remove(key);
    }

    /// A list of its pods, and the objects it wants to be told of.
    pub(super) fn list(&self, snapshot: &Snapshot) -> Vec<News> {
        let pods = snapshot.list(PODS, None, None).filter(|pod| pod.field("spec.nodeName") == Some(&self.name));
        let listed = pods.map(|pod| News::Listed(pod.clone()));
        std::iter::once(News::ListBegins).chain(listed).chain([News::ListEnds]).chain(self.sources(snapshot)).collect()
    }

    /// The objects it wants to be told of, as they are.
    pub(super) fn sources(&self, snapshot: &Snapshot) -> Vec<News> {
        let own = snapshot.list(PERSISTENT_VOLUMES, None, None).filter(|volume| self.keeps(volume));
        let keys: BTreeSet<&ObjectKey> = self.watches.iter().chain(own.map(|volume| volume.key())).collect();
        keys.into_iter().map(|key| News::Source(key.clone(), snapshot.get(key).cloned())).collect()
    }

    /// Whether it is a volume on the node's disk: of those it is told unasked.
    fn keeps(&self, object: &Object) -> bool {
        object.key().resource == PERSISTENT_VOLUMES && object.field("spec.nodeName") == Some(&self.name)
    }

    /// What a change is to this node: a pod that comes to it, changes or goes, or an object it watches.
    pub(super) fn news(&self, event: &Event) -> Option<News> {
        if event.key.resource != PODS {
            return (self.watches.contains(&event.key) || self.keeps(event.change.object())).then(|| {
                let is_gone = matches!(event.change, WatchChange::Removed(_));
                News::Source(event.key.clone(), (!is_gone).then(|| event.change.object().clone()))
            });
        }
        let is_own = |pod: &Arc<Object>| pod.field("spec.nodeName") == Some(&self.name);
        match &event.change {
            WatchChange::Added(pod) => is_own(pod).then(|| News::Changed(pod.clone())),
            WatchChange::Modified { before, after } => match (is_own(before), is_own(after)) {
                (_, true) => Some(News::Changed(after.clone())),
                (true, false) => Some(News::Gone(after.clone())),
                (false, false) => None,
            },
            WatchChange::Removed(pod) => is_own(pod).then(|| News::Gone(pod.clone())),
        }
    }
}
