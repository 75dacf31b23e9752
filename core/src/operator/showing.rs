//! What a driver shows.

use jiff::Timestamp;
use sampan_machine::Chart;

use super::driver::{FLIGHTS_MAX, Member};
use super::queue::OperatorId;
use super::{Disabled, Driver, Figures, StepReport};
use crate::object::ObjectKey;

impl Driver {
    /// When to call [`poll`](Self::poll) although nothing changes.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let effects = if self.under_way() < FLIGHTS_MAX { self.errands.next() } else { None };
        self.timers.next().into_iter().chain(effects).min()
    }

    /// Whether a step could run now.
    pub fn is_ready(&self) -> bool {
        (self.queue.is_ready() || self.errands.is_ready()) && self.under_way() < FLIGHTS_MAX
    }

    /// Whether no key waits, no commit is under way and no effect runs. Timers may still run.
    pub fn is_at_rest(&self) -> bool {
        self.queue.len() == 0 && self.flights.is_empty() && self.asking.is_empty() && self.errands.is_at_rest()
    }

    /// How many effects are run, or have ended and what came of them is not written.
    pub fn effects_under_way(&self) -> usize {
        self.errands.begun()
    }

    /// How many commits are under way.
    pub fn under_way(&self) -> usize {
        self.flights.len() + self.asking.len() + self.errands.under_way()
    }

    /// The wake-up nobody has handled for longest: operator, key and since when.
    pub fn oldest_unhandled(&self) -> Option<(&'static str, ObjectKey, Timestamp)> {
        let (slot, since) = self.queue.oldest()?;
        Some((self.name(slot.0), slot.1.clone(), since))
    }

    /// How many keys wait for a step.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The keys that wait for a step, with their operators.
    pub fn waiting(&self) -> impl Iterator<Item = (&'static str, &ObjectKey)> {
        self.queue.waiting().map(|(operator, key)| (self.name(*operator), key))
    }

    /// What the last step did.
    pub fn last_step(&self) -> Option<&StepReport> {
        self.last_step.as_ref()
    }

    /// The operators that panicked.
    pub fn disabled(&self) -> &[Disabled] {
        &self.disabled
    }

    /// What each operator has done.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, Figures)> {
        self.members.values().map(|member| (member.name(), member.figures))
    }

    /// The operators' charts.
    pub fn charts(&self) -> impl Iterator<Item = &'static Chart> {
        self.members.values().map(|member| member.seat.chart())
    }

    /// The state of an operator's machine for a key.
    pub fn state(&self, operator: &str, key: &ObjectKey) -> Option<&'static str> {
        let member = self.members.values().find(|member| member.name() == operator)?;
        Some(member.seat.state(key))
    }

    pub(super) fn name(&self, operator: OperatorId) -> &'static str {
        self.members.get(&operator).map(Member::name).unwrap_or_default()
    }
}
