//! What drives a driver: it hears of changes, steps, and hands out what is to be committed.
//!
//! It is advanced by calls and does no I/O of its own. The daemon's thread, the conformance kit and simulations run this
//! very loop, each over a [`Host`] of its own.

use std::ops::Deref;

use jiff::Timestamp;
use serde_json::Value;

use super::{Driver, EffectRun, Operator, Progress, StepCommit, StepQuestions, Ticket};
use crate::gateway::{Call, Reply};
use crate::object::{ObjectKey, Revision};
use crate::store::{Commit, ReadKey, Reader, Refusal, ReservationId, Snapshot, WatchError};

/// How many changes are told at once: it bounds how long a step waits for those before it.
const EVENTS_PER_TURN: usize = 1000;

/// What the loop stands on: a store to read and to commit to, and the time.
pub trait Host {
    /// The store, to be read.
    fn reader(&self) -> Reader;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Begins a commit, whose outcome is told by [`Loop::settled`] later: many may be under way at once.
    fn commit(&mut self, commit: StepCommit, reservation: Option<ReservationId>);

    /// Lets others that touch these reads wait, for as long as the store allows; `None` where it does not.
    fn reserve(&mut self, reads: Vec<ReadKey>) -> Option<ReservationId>;

    /// Ends a reservation nothing is committed under.
    fn release(&mut self, reservation: ReservationId);

    /// Begins to run an effect, whose outcome is told by [`Loop::effect_done`] later. It may block: never on the thread that
    /// turns the loop.
    fn run(&mut self, effect: EffectRun);

    /// Begins to ask webhooks, whose replies are told by [`Loop::replied`] later.
    fn ask(&mut self, questions: StepQuestions);
}

/// What one turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is to be done before something changes, a commit is settled or [`Driver::next_deadline`] passes.
    Idle,
    /// A step ran and had nothing to commit.
    Stepped,
    /// Something was handed to the host.
    Launched,
}

/// A driver and how far it has heard. It reads as a [`Driver`] does.
#[derive(Clone)]
pub struct Loop {
    driver: Driver,
    /// The last change heard of; nothing before the first turn.
    cursor: Option<Revision>,
}

impl Loop {
    /// A loop that has not begun: its first turn wakes every primary.
    pub fn new(driver: Driver) -> Self {
        Self { driver, cursor: None }
    }

    /// One turn: hears of what has changed, and runs at most one step.
    pub fn turn(&mut self, host: &mut impl Host) -> Turn {
        let snapshot = self.hear(host);
        match self.driver.poll(&snapshot, host.now()) {
            Progress::Reserve(reads) => self.turn_reserved(reads, host),
            progress => hand_over(progress, None, host),
        }
    }

    /// Others keep winning the race against this step: it runs while what it rests on is held still. Others' steps go on
    /// while its commit is under way.
    fn turn_reserved(&mut self, reads: Vec<ReadKey>, host: &mut impl Host) -> Turn {
        let reservation = host.reserve(reads);
        let snapshot = self.hear(host);
        match (self.driver.poll_step(&snapshot, host.now()), reservation) {
            (progress @ Progress::Commit(_), reservation) => hand_over(progress, reservation, host),
            (progress, reservation) => {
                reservation.into_iter().for_each(|reservation| host.release(reservation));
                hand_over(progress, None, host)
            }
        }
    }

    /// Tells the driver every change it has not heard of, and gives a snapshot that holds no others. Where the log no
    /// longer reaches back, every primary is looked at instead.
    pub fn hear(&mut self, host: &impl Host) -> Snapshot {
        let reader = host.reader();
        loop {
            let snapshot = reader.snapshot();
            let Some(cursor) = self.cursor else {
                self.start_over(&snapshot, host.now());
                continue;
            };
            if snapshot.revision() <= cursor {
                return snapshot;
            }
            match reader.all_events_after(cursor, EVENTS_PER_TURN) {
                Ok(batch) => {
                    self.cursor = Some(batch.through);
                    self.driver.observe(&batch.events, &reader.snapshot(), host.now());
                }
                Err(WatchError::Compacted(_)) => self.start_over(&snapshot, host.now()),
                Err(WatchError::Log(error)) => {
                    tracing::error!(%error, "operators do not hear of changes; every object is looked at");
                    self.start_over(&snapshot, host.now());
                }
            }
        }
    }

    /// Runs at most one step although the driver has not heard of all there is to hear: for simulation, where wake-ups
    /// come late.
    pub fn turn_unheard(&mut self, host: &mut impl Host) -> Turn {
        let snapshot = host.reader().snapshot();
        hand_over(self.driver.poll(&snapshot, host.now()), None, host)
    }

    /// Tells the driver once more what it last heard after `cursor`: for simulation, where wake-ups come twice.
    pub fn hear_again(&mut self, cursor: Revision, host: &impl Host) {
        self.cursor = self.cursor.map(|heard| heard.min(cursor));
        self.hear(host);
    }

    /// Lets the key that is next come last: for simulation, where steps of different keys run in any order.
    pub fn postpone(&mut self) {
        self.driver.postpone();
    }

    fn start_over(&mut self, snapshot: &Snapshot, now: Timestamp) {
        self.cursor = Some(snapshot.revision());
        self.driver.start(snapshot, now);
    }

    /// Hears what became of a commit.
    pub fn settled(&mut self, ticket: Ticket, outcome: Result<&Commit, &Refusal>, now: Timestamp) {
        self.driver.settled(ticket, outcome, now);
    }

    /// Hears what came of an effect.
    pub fn effect_done(&mut self, ticket: Ticket, outcome: Result<Value, String>) {
        self.driver.effect_done(ticket, outcome);
    }

    /// Hears how far an effect says it has come.
    pub fn effect_tells(&mut self, ticket: Ticket, word: String) {
        self.driver.effect_tells(ticket, word);
    }

    /// Hears what webhooks replied to a step's questions.
    pub fn replied(&mut self, operator: &str, key: &ObjectKey, replies: Vec<(Call, Reply)>, now: Timestamp) {
        self.driver.replied(operator, key, replies, now);
    }

    /// Adds an operator while others run, in the place of one of the same name, and wakes its primaries.
    pub fn install<O: Operator>(&mut self, operator: O, host: &impl Host) {
        let snapshot = self.hear(host);
        self.driver.install(operator, &snapshot, host.now());
    }

    /// Takes an operator away: nothing of it is stepped any more. `false` where there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.driver.remove(name)
    }

    /// Runs a step again that was suspended: what it waited for is there.
    pub fn resume(&mut self, operator: &str, key: &ObjectKey) {
        self.driver.resume(operator, key);
    }

    /// Wakes one primary of an operator as a timer would: for tests and for people.
    pub fn wake(&mut self, operator: &str, key: &ObjectKey, now: Timestamp) {
        self.driver.wake(operator, key, now);
    }
}

fn hand_over(progress: Progress, reservation: Option<ReservationId>, host: &mut impl Host) -> Turn {
    match progress {
        Progress::Idle => Turn::Idle,
        // A step that asks for a reservation twice in a row gets its next turn with the others.
        Progress::Stepped | Progress::Reserve(_) => Turn::Stepped,
        Progress::Commit(commit) => {
            host.commit(*commit, reservation);
            Turn::Launched
        }
        Progress::Effect(effect) => {
            host.run(*effect);
            Turn::Launched
        }
        Progress::Ask(questions) => {
            host.ask(*questions);
            Turn::Launched
        }
    }
}

impl Deref for Loop {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        &self.driver
    }
}
