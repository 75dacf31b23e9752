//! What becomes of a step once its commit is decided.

use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::WakeReason;

use super::flight::{After, Asked, Flight};
use super::progress::{Progress, Ticket};
use super::queue::{Pending, Slot};
use super::{Driver, Refused, WriteVerb, backoff, record};
use crate::status::Status;
use crate::store::{Commit, Refusal, Unmet};

impl Driver {
    /// Hears what became of a commit.
    pub fn settled(&mut self, ticket: Ticket, outcome: Result<&Commit, &Refusal>, now: Timestamp) {
        if self.outcome_settled(ticket, outcome, now) {
            return;
        }
        let Some(flight) = self.flights.remove(&ticket) else { return };
        let Flight { slot, taken, rests_on, after } = flight;
        let Some(member) = self.acting(slot.0) else { return };
        match outcome {
            Ok(_) => {
                member.figures.commits += 1;
                self.settle(&slot, after, now);
            }
            Err(Refusal::Unavailable(_) | Refusal::Overloaded | Refusal::TooManyChanges { .. }) => {
                self.retry_later(slot, now);
            }
            Err(refusal @ Refusal::Unmet { change, unmet }) if !matches!(unmet, Unmet::Taken { .. }) => {
                member.seat.discard(&slot.1);
                self.inquire_anew(&slot);
                let refused = refused(&after.asked, *change, &slot, refusal);
                self.queue.put_back(slot, Pending { insists: true, refusal: Some(Arc::new(refused)), ..taken });
            }
            Err(
                Refusal::Exists(_)
                | Refusal::Missing(_)
                | Refusal::Changed { .. }
                | Refusal::Guard { .. }
                | Refusal::Unmet { .. },
            ) => {
                member.figures.conflicts += 1;
                member.seat.discard(&slot.1);
                self.inquire_anew(&slot);
                self.standings.conflicted(&slot, rests_on);
                self.queue.put_back(slot, Pending { insists: true, ..taken });
            }
        }
    }

    /// The step is done: its machine is live.
    pub(super) fn settle(&mut self, slot: &Slot, after: After, now: Timestamp) {
        self.inquiries.remove(slot);
        let Some(member) = self.acting(slot.0) else { return };
        member.seat.keep(&slot.1);
        member.recorder.keep(after.said);
        if after.gone {
            member.seat.forget(&slot.1);
            self.standings.forget(slot);
            self.timers.cancel(slot);
            self.queue.free(slot);
            return;
        }
        let tries = self.standings.settled(slot, after.snapshot, after.decision, after.refused);
        let retry_at = after.refused.then(|| now.checked_add(backoff::delay(tries, &mut self.entropy)).ok()).flatten();
        match after.wake_at.into_iter().chain(retry_at).min() {
            Some(at) => {
                let cause = if Some(at) == retry_at { record::RETRY } else { record::TIMER };
                self.timers.set(slot.clone(), at, cause);
            }
            None => self.timers.cancel(slot),
        }
        self.queue.free(slot);
        if after.left_over {
            self.queue.wake(slot.clone(), WakeReason { cause: record::CONTINUED.into(), revision: 0 }, now);
        }
        self.evict();
    }

    /// Tries again after a while. The wake-up is kept by its timer: a transient failure loses nothing but its reasons.
    pub(super) fn retry_later(&mut self, slot: Slot, now: Timestamp) -> Progress {
        self.inquiries.remove(&slot);
        if let Some(member) = self.acting(slot.0) {
            member.seat.discard(&slot.1);
        }
        let tries = self.standings.failed(&slot);
        let delay = backoff::delay(tries, &mut self.entropy);
        self.queue.free(&slot);
        let at = now.checked_add(delay).unwrap_or(now);
        self.timers.set(slot, at, record::RETRY);
        Progress::Stepped
    }

    /// Drops machines that rest, where there are more than are kept. They are derived: a later step classifies anew.
    fn evict(&mut self) {
        while let Some(slot) = self.standings.over_full() {
            let rests = !self.queue.is_occupied(&slot) && self.timers.of(&slot).is_none();
            self.standings.forget(&slot);
            if let (true, Some(member)) = (rests, self.acting(slot.0)) {
                member.seat.forget(&slot.1);
            }
        }
    }
}

/// A refusal at commit, told as the refusal of one of the step's commands.
fn refused(asked: &Asked, change: usize, slot: &Slot, refusal: &Refusal) -> Refused {
    asked.refused_at(change, refusal).unwrap_or_else(|| {
        let status = Status::forbidden(refusal.to_string());
        Refused { accepted_before: 0, resource: slot.1.resource, verb: WriteVerb::Create, status }
    })
}
