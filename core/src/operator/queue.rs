//! Which keys are to be stepped, in order, each by one step at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::WakeReason;

use super::Refused;
use crate::object::ObjectKey;

/// The most reasons kept of one wake-up. More than a reader wants to see; merged further, the newest stands for the rest.
pub(super) const REASONS_MAX: usize = 16;

/// Which of a driver's operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OperatorId(pub(super) usize);

/// One machine's place: an operator and a primary's key.
pub(super) type Slot = (OperatorId, ObjectKey);

/// A wake-up nobody has handled yet: all that happened since, merged.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) reasons: Vec<WakeReason>,
    /// The newest revision among the reasons.
    pub(super) newest: u64,
    /// Whether a reason is no change: a timer, the start, a retry. Such a wake-up is never stale.
    pub(super) insists: bool,
    /// When the first of the reasons came.
    pub(super) since: Timestamp,
    pub(super) refusal: Option<Arc<Refused>>,
}

/// The keys to be stepped. There are never more entries than primaries, so a burst of changes cannot make it grow.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    ready: VecDeque<Slot>,
    pending: BTreeMap<Slot, Pending>,
    /// Keys whose step is not settled yet: what happens meanwhile waits for it.
    busy: BTreeSet<Slot>,
}

impl Pending {
    fn new(now: Timestamp) -> Self {
        Self { reasons: Vec::new(), newest: 0, insists: false, since: now, refusal: None }
    }

    /// A wake-up for one reason, which a timer or a start gives.
    fn merge(&mut self, reason: WakeReason) {
        self.insists |= reason.revision == 0;
        self.newest = self.newest.max(reason.revision);
        if self.reasons.len() == REASONS_MAX {
            self.reasons.pop();
        }
        self.reasons.push(reason);
    }
}

impl Queue {
    /// Wakes a key.
    pub(super) fn wake(&mut self, slot: Slot, reason: WakeReason, now: Timestamp) {
        if let Some(pending) = self.pending.get_mut(&slot) {
            pending.merge(reason);
            return;
        }
        let mut pending = Pending::new(now);
        pending.merge(reason);
        self.pending.insert(slot.clone(), pending);
        if !self.busy.contains(&slot) {
            self.ready.push_back(slot);
        }
    }

    /// Puts back a wake-up that was taken and not served, before everything else. The key must be busy.
    pub(super) fn put_back(&mut self, slot: Slot, mut taken: Pending) {
        if let Some(later) = self.pending.remove(&slot) {
            taken.insists |= later.insists;
            taken.newest = taken.newest.max(later.newest);
            taken.reasons.extend(later.reasons);
            taken.reasons.truncate(REASONS_MAX);
        }
        self.busy.remove(&slot);
        self.pending.insert(slot.clone(), taken);
        self.ready.push_front(slot);
    }

    /// The next key to step, which is busy until [`free`](Self::free).
    pub(super) fn take(&mut self) -> Option<(Slot, Pending)> {
        let slot = self.ready.pop_front()?;
        let pending = self.pending.remove(&slot).expect("a ready key has a pending wake-up");
        self.busy.insert(slot.clone());
        Some((slot, pending))
    }

    /// Lets the key that is next come last: steps of different keys run in no particular order.
    pub(super) fn postpone(&mut self) {
        self.ready.rotate_left(usize::from(!self.ready.is_empty()));
    }

    /// Lets a key be stepped again, at once if it was woken meanwhile.
    pub(super) fn free(&mut self, slot: &Slot) {
        self.busy.remove(slot);
        if self.pending.contains_key(slot) {
            self.ready.push_back(slot.clone());
        }
    }

    /// Drops everything an operator has to do: it is disabled or gone.
    pub(super) fn clear(&mut self, operator: OperatorId) {
        self.ready.retain(|(owner, _)| *owner != operator);
        self.pending.retain(|(owner, _), _| *owner != operator);
        self.busy.retain(|(owner, _)| *owner != operator);
    }

    /// The key that has waited longest for a step, and since when.
    pub(super) fn oldest(&self) -> Option<(&Slot, Timestamp)> {
        self.pending.iter().map(|(slot, pending)| (slot, pending.since)).min_by_key(|(_, since)| *since)
    }

    /// The keys that wait, in order of operator and key.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Slot> {
        self.pending.keys()
    }

    /// How many keys wait.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether a key could be stepped now.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a key's step is not settled or not taken yet.
    pub(super) fn is_occupied(&self, slot: &Slot) -> bool {
        self.busy.contains(slot) || self.pending.contains_key(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ResourceType;

    fn slot(name: &str) -> Slot {
        (OperatorId(0), ObjectKey::namespaced(ResourceType::new("", "pods"), "default", name))
    }

    fn reason(revision: u64) -> WakeReason {
        WakeReason { cause: "pods/default/a".into(), revision }
    }

    fn names(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.take()).map(|((_, key), _)| key.name.to_string()).collect()
    }

    #[test]
    fn a_key_woken_twice_is_stepped_once_for_both_reasons() {
        let mut queue = Queue::default();
        for revision in 1..=40 {
            queue.wake(slot("a"), reason(revision), Timestamp::UNIX_EPOCH);
        }
        let (_, pending) = queue.take().unwrap();
        assert_eq!((pending.reasons.len(), pending.newest), (REASONS_MAX, 40));
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_busy_key_waits_for_its_step_and_others_do_not() {
        let mut queue = Queue::default();
        queue.wake(slot("a"), reason(1), Timestamp::UNIX_EPOCH);
        queue.take().unwrap();
        queue.wake(slot("a"), reason(2), Timestamp::UNIX_EPOCH);
        queue.wake(slot("b"), reason(3), Timestamp::UNIX_EPOCH);
        assert_eq!(names(&mut queue), ["b"]);
        queue.free(&slot("a"));
        assert_eq!(names(&mut queue), ["a"]);
    }

    #[test]
    fn a_wake_up_put_back_comes_first_and_keeps_its_age() {
        let mut queue = Queue::default();
        queue.wake(slot("a"), reason(1), Timestamp::UNIX_EPOCH);
        queue.wake(slot("b"), reason(2), Timestamp::from_second(5).unwrap());
        let (taken, pending) = queue.take().unwrap();
        queue.wake(slot("a"), reason(3), Timestamp::from_second(9).unwrap());
        queue.put_back(taken, pending);
        assert_eq!(queue.oldest().map(|(slot, since)| (&*slot.1.name, since)), Some(("a", Timestamp::UNIX_EPOCH)));
        assert_eq!(names(&mut queue), ["a", "b"]);
    }
}
