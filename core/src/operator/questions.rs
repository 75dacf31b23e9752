//! Steps whose commands webhooks are asked about.

use jiff::Timestamp;

use super::Driver;
use super::progress::{Progress, StepQuestions};
use super::queue::{Pending, Slot};
use crate::gateway::{Call, Inquiry, Reply};
use crate::object::ObjectKey;

impl Driver {
    /// The step ends before its commands are prepared, and runs again when the replies are there.
    pub(super) fn ask(&mut self, slot: Slot, taken: Pending, calls: Vec<Call>) -> Progress {
        let Some(member) = self.members.get_mut(&slot.0) else { return Progress::Stepped };
        member.seat.discard(&slot.1);
        let questions = StepQuestions { operator: member.name(), key: slot.1.clone(), calls };
        self.asking.insert(slot.clone());
        self.suspended.insert(slot, taken);
        Progress::Ask(Box::new(questions))
    }

    /// A step's commit was refused: what it drew may be why, while answers hold as long as their questions are asked.
    pub(super) fn inquire_anew(&mut self, slot: &Slot) {
        self.inquiries.entry(slot.clone()).and_modify(Inquiry::draw_anew);
    }

    /// Hears what webhooks replied to the questions of an operator's step. Nothing happens where that is no longer awaited.
    pub fn replied(&mut self, operator: &str, key: &ObjectKey, replies: Vec<(Call, Reply)>, now: Timestamp) {
        let Some(id) = self.id_of(operator) else { return };
        let slot = (id, key.clone());
        if !self.asking.remove(&slot) {
            return;
        }
        if self.inquiries.entry(slot.clone()).or_default().hear(replies) {
            self.resume(operator, key);
        } else {
            self.suspended.remove(&slot);
            self.retry_later(slot, now);
        }
    }
}
