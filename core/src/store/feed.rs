//! The changes of the last moments, in memory, for everybody who watches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::EventListener;

use super::{Batch, Event, WatchChange, WatchScope};
use crate::object::{ResourceType, Revision};

/// How many changes are kept in memory: what a watcher may lag behind before it reads the log.
const EVENTS_MAX: usize = 4096;

/// How many bytes of objects these changes may hold alive.
const EVENTS_BYTES_MAX: usize = 4 << 20;

/// The recent changes, and who waits for the next. Watchers hold a cursor each and no buffer, so that a slow one costs
/// nothing and is never waited for.
pub(super) struct Feed {
    recent: Mutex<Recent>,
    everything: event_listener::Event,
    listeners: Mutex<Vec<Callback>>,
}

/// Called with the revision of head after each group, on the thread that commits: it must return at once.
pub type Callback = Arc<dyn Fn(Revision) + Send + Sync>;

struct Recent {
    head: Revision,
    all: Ring,
    by_resource: BTreeMap<ResourceType, Topic>,
    bytes: usize,
}

#[derive(Default)]
struct Topic {
    ring: Ring,
    changed: Arc<event_listener::Event>,
}

/// Consecutive changes of one resource type, or of all.
#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Every change after this revision is here.
    complete_after: Revision,
}

impl Ring {
    fn push(&mut self, event: Arc<Event>) {
        self.events.push_back(event);
    }

    fn evict_oldest(&mut self) -> Option<Arc<Event>> {
        let event = self.events.pop_front()?;
        self.complete_after = event.revision;
        Some(event)
    }

    /// The changes after `cursor` that `wanted` picks, at most `limit`; `None` where the ring does not reach back.
    fn after(&self, cursor: Revision, head: Revision, limit: usize, wanted: impl Fn(&Event) -> bool) -> Option<Batch> {
        if cursor < self.complete_after {
            return None;
        }
        let start = self.events.partition_point(|event| event.revision <= cursor);
        let found = self.events.range(start..).filter(|event| wanted(event));
        let events: Vec<Arc<Event>> = found.take(limit).cloned().collect();
        let through = match events.last() {
            Some(last) if events.len() == limit => last.revision,
            _ => head.max(cursor),
        };
        Some(Batch { events, through })
    }
}

impl Feed {
    /// A feed that knows nothing of the history up to `head`.
    pub(super) fn new(head: Revision) -> Self {
        let all = Ring { complete_after: head, ..Ring::default() };
        Self {
            recent: Mutex::new(Recent { head, all, by_resource: BTreeMap::new(), bytes: 0 }),
            everything: event_listener::Event::new(),
            listeners: Mutex::default(),
        }
    }

    /// Adds the changes of a group, and wakes who waits for them.
    pub(super) fn publish(&self, events: Vec<Arc<Event>>, head: Revision) {
        let changed = self.recent().extend(events, head);
        for topic in changed {
            topic.notify(usize::MAX);
        }
        self.everything.notify(usize::MAX);
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for callback in listeners {
            callback(head);
        }
    }

    /// The changes in scope after `cursor`; `None` where only the log reaches back so far.
    pub(super) fn after(&self, scope: &WatchScope, cursor: Revision, limit: usize) -> Option<Batch> {
        let mut recent = self.recent();
        let head = recent.head;
        recent.topic(scope.resource).ring.after(cursor, head, limit, |event| scope.holds(&event.key))
    }

    /// All changes after `cursor`; `None` where only the log reaches back so far.
    pub(super) fn all_after(&self, cursor: Revision, limit: usize) -> Option<Batch> {
        let recent = self.recent();
        recent.all.after(cursor, recent.head, limit, |_| true)
    }

    /// Completes when an object of the resource type changes after this call.
    pub(super) fn listen(&self, resource: ResourceType) -> EventListener {
        self.recent().topic(resource).changed.listen()
    }

    /// Completes when anything changes after this call.
    pub(super) fn listen_all(&self) -> EventListener {
        self.everything.listen()
    }

    /// Calls `callback` after each group from now on.
    pub(super) fn attach(&self, callback: Callback) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn topic(&mut self, resource: ResourceType) -> &mut Topic {
        // What is not known by a topic of its own has not changed since the ring of all changes began.
        let complete_after = self.all.complete_after;
        self.by_resource
            .entry(resource)
            .or_insert_with(|| Topic { ring: Ring { complete_after, ..Ring::default() }, changed: Arc::default() })
    }

    fn extend(&mut self, events: Vec<Arc<Event>>, head: Revision) -> Vec<Arc<event_listener::Event>> {
        let mut changed: BTreeMap<ResourceType, Arc<event_listener::Event>> = BTreeMap::new();
        for event in events {
            self.bytes += held_bytes(&event);
            let topic = self.topic(event.key.resource);
            topic.ring.push(event.clone());
            changed.entry(event.key.resource).or_insert_with(|| topic.changed.clone());
            self.all.push(event);
        }
        self.head = head;
        while self.all.events.len() > EVENTS_MAX || self.bytes > EVENTS_BYTES_MAX && self.all.events.len() > 1 {
            self.evict();
        }
        changed.into_values().collect()
    }

    fn evict(&mut self) {
        let Some(oldest) = self.all.evict_oldest() else { return };
        self.bytes -= held_bytes(&oldest);
        self.topic(oldest.key.resource).ring.evict_oldest();
    }
}

fn held_bytes(event: &Event) -> usize {
    match &event.change {
        WatchChange::Added(object) | WatchChange::Removed(object) => object.bytes().len(),
        WatchChange::Modified { before, after } => before.bytes().len() + after.bytes().len(),
    }
}
