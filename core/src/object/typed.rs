//! Decoded values, kept within a budget.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The most bytes that decoded values take together, process-wide: ten thousand pods, all of which a ReplicaSet of as many reads
/// at each step. Fewer pods take less.
const BUDGET_BYTES: usize = 96 << 20;

/// How much larger than its JSON a decoded value is taken to be: strings keep their own allocations and most fields of
/// a Kubernetes type are empty options.
const BYTES_PER_JSON_BYTE: usize = 3;

static CACHE: Mutex<Clock> = Mutex::new(Clock { hand: VecDeque::new(), bytes: 0 });

/// A value decoded at most once while the budget lasts.
#[derive(Default)]
pub(super) struct Typed(OnceLock<Arc<Slot>>);

#[derive(Default)]
struct Slot {
    value: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    used: AtomicBool,
    /// Of an object that is lost: who looks into it is counted.
    looks: Option<Looks>,
}

/// How often somebody has looked into objects that are [lost](super::Object::lost): what comes of that is no answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(Arc<AtomicUsize>);

impl Looks {
    /// How often so far.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Second chance: a value used since the hand last passed stays for another round.
struct Clock {
    hand: VecDeque<(Weak<Slot>, usize)>,
    bytes: usize,
}

impl Typed {
    /// Of an object that is lost.
    pub(super) fn lost(looks: &Looks) -> Self {
        Self(OnceLock::from(Arc::new(Slot { looks: Some(looks.clone()), ..Slot::default() })))
    }

    /// Somebody looks into the object.
    pub(super) fn look(&self) {
        if let Some(looks) = self.0.get().and_then(|slot| slot.looks.as_ref()) {
            looks.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The value as `T`: the one kept, or a fresh one from `decode`, which says of how many bytes of JSON it is.
    pub(super) fn get_or_decode<T: Send + Sync + 'static, E>(
        &self,
        decode: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        self.look();
        let slot = self.0.get_or_init(Arc::default);
        let mut value = slot.value.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = value.clone().and_then(|any| any.downcast::<T>().ok()) {
            slot.used.store(true, Ordering::Relaxed);
            return Ok(known);
        }
        let (fresh, json_bytes) = decode()?;
        let fresh = Arc::new(fresh);
        let known_to_clock = value.replace(fresh.clone()).is_some();
        drop(value);
        if !known_to_clock {
            CACHE.lock().unwrap_or_else(PoisonError::into_inner).admit(slot, json_bytes, BUDGET_BYTES);
        }
        Ok(fresh)
    }

    /// Drops the value.
    pub(super) fn forget(&self) {
        if let Some(slot) = self.0.get() {
            slot.clear();
        }
    }
}

impl Slot {
    fn clear(&self) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Clock {
    fn admit(&mut self, slot: &Arc<Slot>, json_bytes: usize, budget: usize) {
        let bytes = json_bytes * BYTES_PER_JSON_BYTE;
        self.hand.push_back((Arc::downgrade(slot), bytes));
        self.bytes += bytes;
        // Two rounds reach every value: the first takes its second chance, the second the value.
        let mut steps = self.hand.len() * 2;
        while self.bytes > budget && steps > 0 {
            steps -= 1;
            self.step();
        }
    }

    fn step(&mut self) {
        let Some((slot, bytes)) = self.hand.pop_front() else { return };
        match slot.upgrade() {
            Some(slot) if slot.used.swap(false, Ordering::Relaxed) => {
                self.hand.push_back((Arc::downgrade(&slot), bytes));
                return;
            }
            Some(slot) => slot.clear(),
            None => {}
        }
        self.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(slot: &Arc<Slot>) -> bool {
        slot.value.lock().unwrap().is_some()
    }

    fn slot() -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        *slot.value.lock().unwrap() = Some(Arc::new(1));
        slot
    }

    #[test]
    fn past_the_budget_what_was_not_used_again_goes_first() {
        let mut clock = Clock { hand: VecDeque::new(), bytes: 0 };
        let slots: Vec<_> = (0..3).map(|_| slot()).collect();
        slots[0].used.store(true, Ordering::Relaxed);
        for slot in &slots {
            clock.admit(slot, 100, 600);
        }
        assert_eq!(slots.iter().map(held).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(clock.bytes, 600);
    }

    #[test]
    fn a_value_whose_object_is_gone_gives_its_place_back() {
        let mut clock = Clock { hand: VecDeque::new(), bytes: 0 };
        clock.admit(&slot(), 100, 300);
        let alive = slot();
        clock.admit(&alive, 100, 300);
        assert!(held(&alive));
        assert_eq!((clock.hand.len(), clock.bytes), (1, 300));
    }

    #[test]
    fn a_budget_smaller_than_one_value_holds_none_and_ends() {
        let mut clock = Clock { hand: VecDeque::new(), bytes: 0 };
        let only = slot();
        only.used.store(true, Ordering::Relaxed);
        clock.admit(&only, 100, 10);
        assert!(!held(&only));
    }
}
