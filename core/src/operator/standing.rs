//! What is remembered of a key between its steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use sampan_machine::Decision;

use super::queue::{OperatorId, Slot};
use crate::object::Revision;
use crate::store::ReadKey;

/// The most keys remembered, and with them the machines that rest. Some hundred bytes each; past it, the one stepped
/// longest ago is dropped and classified anew when it wakes.
const KEPT_MAX: usize = 20_000;

/// What is remembered of a key between its steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// The revision the last settled step read.
    pub(super) seen: Revision,
    conflicts: u32,
    refusals: u32,
    failures: u32,
    contested: Vec<ReadKey>,
    last: Verdict,
    touched: u64,
}

/// What the last decision said, without its commands and reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Option<Arc<Decision>>);

impl Verdict {
    /// Whether a decision says the same again.
    pub(super) fn repeats(&self, decision: &Decision) -> bool {
        self.0.as_ref().is_some_and(|last| decision.repeats(last))
    }

    fn of(decision: Decision) -> Self {
        let brief =
            Decision { wake: Vec::new(), guards: Vec::new(), commands: Vec::new(), reads: Vec::new(), ..decision };
        Self(Some(Arc::new(brief)))
    }
}

impl Standing {
    /// What is to be held still for the next step, after conflicts in a row.
    pub(super) fn reads_to_reserve(&self) -> Option<&[ReadKey]> {
        (self.conflicts >= super::driver::CONFLICTS_BEFORE_RESERVING && !self.contested.is_empty())
            .then_some(self.contested.as_slice())
    }

    /// Whether what the next step rests on is held still for it.
    pub(super) fn is_reserved(&self) -> bool {
        self.conflicts >= super::driver::CONFLICTS_BEFORE_RESERVING && self.contested.is_empty()
    }
}

/// All that is remembered, bounded.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings {
    by_slot: BTreeMap<Slot, Standing>,
    by_age: BTreeMap<u64, Slot>,
    clock: u64,
    nothing: Verdict,
}

impl Standings {
    pub(super) fn of(&self, slot: &Slot) -> Option<&Standing> {
        self.by_slot.get(slot)
    }

    pub(super) fn verdict(&self, slot: &Slot) -> &Verdict {
        self.by_slot.get(slot).map_or(&self.nothing, |standing| &standing.last)
    }

    fn touch(&mut self, slot: &Slot) -> &mut Standing {
        self.clock += 1;
        let standing = self.by_slot.entry(slot.clone()).or_default();
        self.by_age.remove(&standing.touched);
        standing.touched = self.clock;
        self.by_age.insert(self.clock, slot.clone());
        standing
    }

    /// A step is settled. Answers how often in a row it met a refusal.
    pub(super) fn settled(&mut self, slot: &Slot, seen: Revision, decision: Option<Decision>, refused: bool) -> u32 {
        let standing = self.touch(slot);
        standing.seen = seen;
        standing.conflicts = 0;
        standing.failures = 0;
        standing.contested.clear();
        standing.refusals = if refused { standing.refusals + 1 } else { 0 };
        if let Some(decision) = decision {
            standing.last = Verdict::of(decision);
        }
        standing.refusals
    }

    /// A step's commit met a change of what it rests on.
    pub(super) fn conflicted(&mut self, slot: &Slot, reads: Vec<ReadKey>) {
        let standing = self.touch(slot);
        standing.conflicts += 1;
        standing.contested = reads;
    }

    /// What a step reads is held still now; should it fail again, it asks again.
    pub(super) fn reserved(&mut self, slot: &Slot) {
        self.touch(slot).contested.clear();
    }

    /// A step failed for a passing reason. Answers how often in a row.
    pub(super) fn failed(&mut self, slot: &Slot) -> u32 {
        let standing = self.touch(slot);
        standing.failures += 1;
        standing.failures
    }

    pub(super) fn forget(&mut self, slot: &Slot) {
        if let Some(standing) = self.by_slot.remove(slot) {
            self.by_age.remove(&standing.touched);
        }
    }

    /// Forgets all of an operator's keys: it is disabled or gone.
    pub(super) fn clear(&mut self, operator: OperatorId) {
        self.by_slot.retain(|(owner, _), _| *owner != operator);
        self.by_age.retain(|_, (owner, _)| *owner != operator);
    }

    /// The key stepped longest ago, where there are more than are kept.
    pub(super) fn over_full(&self) -> Option<Slot> {
        (self.by_slot.len() > KEPT_MAX).then(|| self.by_age.values().next().cloned()).flatten()
    }
}
