//! Objects that go by themselves, some time after their last change.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::object::{ObjectKey, ResourceType, Revision};

/// How long objects of a resource type live after their last change, for those that do not live for ever.
pub type TimesToLive = BTreeMap<ResourceType, Duration>;

/// When which object is due. Within a resource type all live equally long, so they fall due in the order they changed.
#[derive(Clone)]
pub(super) struct Expiry {
    times_to_live: TimesToLive,
    due: BTreeMap<ResourceType, VecDeque<Due>>,
}

/// Holds only if the object has not changed since.
#[derive(Clone)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    pub(super) key: ObjectKey,
    pub(super) revision: Revision,
}

impl Expiry {
    pub(super) fn new(times_to_live: TimesToLive) -> Self {
        Self { times_to_live, due: BTreeMap::new() }
    }

    /// Notes that an object has changed.
    pub(super) fn changed(&mut self, key: &ObjectKey, revision: Revision, now: Timestamp) {
        let Some(time_to_live) = self.times_to_live.get(&key.resource) else { return };
        let at = now.checked_add(*time_to_live).unwrap_or(Timestamp::MAX);
        self.due.entry(key.resource).or_default().push_back(Due { at, key: key.clone(), revision });
    }

    /// Brings what was noted out of order into order: after a recovery.
    pub(super) fn sort(&mut self) {
        for queue in self.due.values_mut() {
            queue.make_contiguous().sort_by_key(|due| (due.at, due.revision));
        }
    }

    /// When the next object is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.values().filter_map(|queue| queue.front()).map(|due| due.at).min()
    }

    /// The next object that is due now.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Due> {
        let queue = self.due.values_mut().find(|queue| queue.front().is_some_and(|due| due.at <= now))?;
        queue.pop_front()
    }
}
