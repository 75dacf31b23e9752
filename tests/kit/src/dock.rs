//! What the loop stands on in a world.

use jiff::Timestamp;
use sampan_core::operator::{EffectRun, Host, StepCommit, StepQuestions};
use sampan_core::store::{MemoryBackend, ReadKey, Reader, ReservationId, Sequencer};

/// A commit the loop began, and what is held still for it.
pub(crate) type Launched = (StepCommit, Option<ReservationId>);

/// The sequencer, and a place where commits and effects wait until the world lets them go.
pub(crate) struct Dock<'c> {
    sequencer: &'c mut Sequencer<MemoryBackend>,
    now: Timestamp,
    pub(crate) launched: Vec<Launched>,
    pub(crate) effects: Vec<EffectRun>,
}

impl<'c> Dock<'c> {
    pub(crate) fn new(sequencer: &'c mut Sequencer<MemoryBackend>, now: Timestamp) -> Self {
        Self { sequencer, now, launched: Vec::new(), effects: Vec::new() }
    }
}

impl Host for Dock<'_> {
    fn reader(&self) -> Reader {
        self.sequencer.reader()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn commit(&mut self, commit: StepCommit, reservation: Option<ReservationId>) {
        self.launched.push((commit, reservation));
    }

    fn reserve(&mut self, reads: Vec<ReadKey>) -> Option<ReservationId> {
        self.sequencer.reserve(&reads, self.now)
    }

    fn release(&mut self, reservation: ReservationId) {
        self.sequencer.release(reservation);
    }

    fn run(&mut self, effect: EffectRun) {
        self.effects.push(effect);
    }

    fn ask(&mut self, _questions: StepQuestions) {
        unreachable!("no world has webhooks");
    }
}
