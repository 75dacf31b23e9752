//! When keys are to be stepped although nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::queue::{OperatorId, Slot};

/// One timer for each key at most, in order of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Timestamp, Slot)>,
    by_slot: BTreeMap<Slot, (Timestamp, &'static str)>,
}

impl Timers {
    /// Sets a key's timer in place of the one it had.
    pub(super) fn set(&mut self, slot: Slot, at: Timestamp, cause: &'static str) {
        self.cancel(&slot);
        self.by_time.insert((at, slot.clone()));
        self.by_slot.insert(slot, (at, cause));
    }

    /// Takes a key's timer away.
    pub(super) fn cancel(&mut self, slot: &Slot) {
        if let Some((at, _)) = self.by_slot.remove(slot) {
            self.by_time.remove(&(at, slot.clone()));
        }
    }

    /// Takes all of an operator's timers away: it is disabled or gone.
    pub(super) fn clear(&mut self, operator: OperatorId) {
        self.by_time.retain(|(_, (owner, _))| *owner != operator);
        self.by_slot.retain(|(owner, _), _| *owner != operator);
    }

    /// A key whose time has come, and what the timer was for.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(Slot, &'static str)> {
        let (at, slot) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let slot = slot.clone();
        let (_, cause) = *self.by_slot.get(&slot).expect("every timer is known by its key");
        self.cancel(&slot);
        Some((slot, cause))
    }

    /// When the next timer ends.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// When a key's timer ends.
    pub(super) fn of(&self, slot: &Slot) -> Option<Timestamp> {
        self.by_slot.get(slot).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectKey, ResourceType};

    fn slot(name: &str) -> Slot {
        (OperatorId(0), ObjectKey::namespaced(ResourceType::new("", "pods"), "default", name))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn timers_end_in_order_of_time_and_a_key_has_one() {
        let mut timers = Timers::default();
        timers.set(slot("a"), at(9), "timer");
        timers.set(slot("b"), at(5), "timer");
        timers.set(slot("a"), at(3), "retry");
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.take_due(at(2)), None);
        assert_eq!(timers.take_due(at(9)), Some((slot("a"), "retry")));
        assert_eq!(timers.take_due(at(9)), Some((slot("b"), "timer")));
        assert_eq!((timers.take_due(at(9)), timers.next()), (None, None));
    }
}
