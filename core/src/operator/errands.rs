//! Which effects are to be run, run now, and have come to something that is to be written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde_json::Value;

use super::progress::Ticket;
use super::words::Words;
use crate::object::ObjectKey;

/// The most effects of one operator that run at once: one that hangs keeps few others waiting, and no other operator's.
pub const EFFECTS_PER_OPERATOR_MAX: usize = 4;

/// When what has just come of a try is written: whatever the clock says, which somebody may set back meanwhile.
pub(super) const AT_ONCE: Timestamp = Timestamp::MIN;

/// What came of a try.
pub(super) type Outcome = Result<Value, String>;

/// The effects that are not done, by the keys of their records.
#[derive(Debug, Clone, Default)]
pub(super) struct Errands {
    /// Every record that is anywhere below, and whose it is.
    known: BTreeMap<ObjectKey, &'static str>,
    ready: BTreeMap<&'static str, VecDeque<ObjectKey>>,
    waiting: BTreeSet<(Timestamp, ObjectKey)>,
    running: BTreeMap<Ticket, ObjectKey>,
    /// What came of tries, and when it is to be written.
    outcomes: BTreeMap<(Timestamp, ObjectKey), Outcome>,
    writing: BTreeMap<Ticket, (ObjectKey, Outcome)>,
    /// How far runs say they have come.
    pub(super) words: Words,
}

impl Errands {
    /// An effect is to be run, unless that is known.
    pub(super) fn add(&mut self, operator: &'static str, record: &ObjectKey) {
        if self.known.insert(record.clone(), operator).is_none() {
            self.ready.entry(operator).or_default().push_back(record.clone());
        }
    }

    /// The next to run, of an operator that does not run too many; it is running from now on.
    pub(super) fn take(&mut self, ticket: Ticket, now: Timestamp) -> Option<ObjectKey> {
        while let Some((_, record)) = self.waiting.first().filter(|(at, _)| *at <= now).cloned() {
            self.waiting.pop_first();
            if let Some(operator) = self.known.get(&record) {
                self.ready.entry(operator).or_default().push_back(record);
            }
        }
        let operator = self.startable()?;
        let record = self.ready.get_mut(operator)?.pop_front()?;
        self.running.insert(ticket, record.clone());
        Some(record)
    }

    fn startable(&self) -> Option<&'static str> {
        let runs = |operator: &str| self.running.values().filter(|it| self.known.get(*it) == Some(&operator)).count();
        let mut waiting = self.ready.iter().filter(|(_, ready)| !ready.is_empty());
        waiting.find(|(operator, _)| runs(operator) < EFFECTS_PER_OPERATOR_MAX).map(|(operator, _)| *operator)
    }

    /// A run is not to be: its record is gone, or nobody can run it.
    pub(super) fn drop_run(&mut self, ticket: Ticket) {
        if let Some(record) = self.running.remove(&ticket) {
            self.known.remove(&record);
        }
    }

    /// A run says how far it has come.
    pub(super) fn told(&mut self, ticket: Ticket, word: String) {
        if let Some(record) = self.running.get(&ticket) {
            self.words.hear(record, word);
        }
    }

    /// A run has ended. What came of it is to be written at once, whatever becomes of the clock.
    pub(super) fn ended(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some(record) = self.running.remove(&ticket) {
            self.words.forget(&record);
            self.outcomes.insert((AT_ONCE, record), outcome);
        }
    }

    /// An outcome that is to be written now.
    pub(super) fn outcome(&mut self, now: Timestamp) -> Option<(ObjectKey, Outcome)> {
        let entry = self.outcomes.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, record), outcome) = entry.remove_entry();
        Some((record, outcome))
    }

    /// An outcome could not be written, and is to be at that time.
    pub(super) fn write_at(&mut self, at: Timestamp, record: ObjectKey, outcome: Outcome) {
        self.outcomes.insert((at, record), outcome);
    }

    /// An outcome is being written.
    pub(super) fn writing(&mut self, ticket: Ticket, record: ObjectKey, outcome: Outcome) {
        self.writing.insert(ticket, (record, outcome));
    }

    /// The outcome that was being written under that ticket.
    pub(super) fn written(&mut self, ticket: Ticket) -> Option<(ObjectKey, Outcome)> {
        self.writing.remove(&ticket)
    }

    /// An effect is to be tried again at that time.
    pub(super) fn again_at(&mut self, at: Timestamp, record: ObjectKey) {
        self.waiting.insert((at, record));
    }

    /// An effect is done, or its record is gone.
    pub(super) fn forget(&mut self, record: &ObjectKey) {
        self.known.remove(record);
    }

    /// How many run, or have ended and are not written.
    pub(super) fn begun(&self) -> usize {
        self.running.len() + self.outcomes.len() + self.writing.len()
    }

    /// How many outcomes are being written.
    pub(super) fn under_way(&self) -> usize {
        self.writing.len()
    }

    /// Whether something is to be handed out.
    pub(super) fn is_ready(&self) -> bool {
        self.startable().is_some() || self.outcomes.keys().any(|(at, _)| *at == AT_ONCE)
    }

    /// Whether nothing runs or waits to be run or written. Effects that are tried again later may be known.
    pub(super) fn is_at_rest(&self) -> bool {
        let none_ready = self.ready.values().all(VecDeque::is_empty);
        none_ready && self.running.is_empty() && self.outcomes.is_empty() && self.writing.is_empty()
    }

    /// When something is to be tried or written again.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        let written_later = self.outcomes.keys().map(|(at, _)| *at).find(|at| *at > AT_ONCE);
        waiting.into_iter().chain(written_later).chain(self.words.next()).min()
    }
}
