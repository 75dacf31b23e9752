//! The server's process: gateway, sequencer and operators as they ship, with a disk that survives its crashes.
//!
//! Steps run on the snapshot of the last group while commits wait for the next, so requests and steps meet as they do
//! where threads run them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::gateway::{Attempt, Gateway, Mutation, Next, Outcome};
use sampan_core::object::Revision;
use sampan_core::operator::StepReport;
use sampan_core::status::Status;
use sampan_core::store::{Commit, Crash, Event, Refusal, Snapshot, Ticket, WatchError};
use sampan_machine::Decision;

use crate::cluster::Cluster;

/// Events read of the store at once.
const EVENTS_PER_READ: usize = 1000;

/// Tells requests apart.
pub(super) type CallId = u64;
/// What a request was answered.
pub(super) type Answer = Result<Outcome, Status>;

/// Whose write is under way.
enum Waiting {
    Step(sampan_core::operator::Ticket),
    Call(CallId, Box<Attempt>),
}

/// What a turn of the store came to.
pub(super) enum Stored {
    /// A group was decided; these requests are answered.
    Decided(Vec<(CallId, Answer)>),
    /// The process has died in the middle of it.
    Died,
}

/// The server's process.
pub(super) struct Server<'w> {
    cluster: Cluster<'w>,
    waiting: BTreeMap<Ticket, Waiting>,
    settled: VecDeque<(sampan_core::operator::Ticket, Result<Commit, Refusal>)>,
    tickets: u64,
    /// What the operators have heard of.
    heard: Revision,
    /// Steps run by drivers that are no more.
    steps_before: u64,
    commits_before: u64,
}

impl<'w> Server<'w> {
    pub(super) fn new(cluster: Cluster<'w>) -> Self {
        Self {
            cluster,
            waiting: BTreeMap::new(),
            settled: VecDeque::new(),
            tickets: 0,
            heard: Revision(0),
            steps_before: 0,
            commits_before: 0,
        }
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.cluster.gateway
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.cluster.snapshot()
    }

    /// All changes after `cursor`, in order.
    ///
    /// # Errors
    /// When the log no longer reaches back, or has a hole.
    pub(super) fn events_after(&self, cursor: Revision) -> Result<Vec<Arc<Event>>, WatchError> {
        let (reader, head) = (self.cluster.sequencer.reader(), self.snapshot().revision());
        let (mut events, mut cursor) = (Vec::new(), cursor);
        while cursor < head {
            let batch = reader.all_events_after(cursor, EVENTS_PER_READ)?;
            events.extend(batch.events);
            cursor = batch.through;
        }
        Ok(events)
    }

    /// Asks for a write. The answer where there is one at once; else it comes with a group.
    pub(super) fn ask(
        &mut self,
        id: CallId,
        mutation: Mutation,
        decision: Option<Decision>,
        now: Timestamp,
    ) -> Option<Answer> {
        self.attempt(id, Box::new(Attempt::new(mutation, decision)), now)
    }

    fn attempt(&mut self, id: CallId, mut attempt: Box<Attempt>, now: Timestamp) -> Option<Answer> {
        let snapshot = self.snapshot();
        let Cluster { gateway, entropy, .. } = &mut self.cluster;
        match attempt.prepare(gateway, &snapshot, now, entropy) {
            Err(status) => Some(Err(status)),
            Ok(Next::Settled(outcome)) => Some(Ok(*outcome)),
            Ok(Next::Ask(_)) => unreachable!("no world has webhooks"),
            Ok(Next::Commit(write)) => {
                let ticket = self.wait(Waiting::Call(id, attempt));
                self.cluster.sequencer.submit(*write, ticket);
                None
            }
        }
    }

    fn wait(&mut self, waiting: Waiting) -> Ticket {
        self.tickets += 1;
        self.waiting.insert(Ticket(self.tickets), waiting);
        Ticket(self.tickets)
    }

    /// Whether a turn of the operators has something to do.
    pub(super) fn operators_are_ready(&self) -> bool {
        self.heard < self.snapshot().revision() || !self.settled.is_empty() || self.cluster.driver.is_ready()
    }

    /// When the operators have something to do though nothing happens.
    pub(super) fn operators_wake_at(&self) -> Option<Timestamp> {
        self.cluster.driver.next_deadline()
    }

    /// The operators hear of what happened and one of them steps. `settles_first` decides what is heard first: what became
    /// of their commits, or what else changed.
    pub(super) fn turn_operators(&mut self, settles_first: bool, now: Timestamp) -> Option<StepReport> {
        self.cluster.now = now;
        if !settles_first {
            self.cluster.hear();
        }
        self.settle(now);
        let steps = self.steps();
        self.heard = self.snapshot().revision();
        let (_, launched) = self.cluster.turn();
        for (commit, reservation) in launched {
            let ticket = self.wait(Waiting::Step(commit.ticket));
            match reservation {
                Some(reservation) => self.cluster.sequencer.submit_reserved(commit.write, ticket, reservation),
                None => self.cluster.sequencer.submit(commit.write, ticket),
            }
        }
        (self.steps() > steps).then(|| self.cluster.driver.last_step().cloned()).flatten()
    }

    fn settle(&mut self, now: Timestamp) {
        for (ticket, outcome) in std::mem::take(&mut self.settled) {
            self.cluster.driver.settled(ticket, outcome.as_ref(), now);
        }
    }

    /// Whether the store has something to decide.
    pub(super) fn store_is_due(&self, now: Timestamp) -> bool {
        self.cluster.sequencer.is_due(now)
    }

    /// When the store has something to decide though nothing is asked.
    pub(super) fn store_wakes_at(&self) -> Option<Timestamp> {
        self.cluster.sequencer.next_deadline()
    }

    /// The store decides what waits and makes it durable, or dies over it.
    pub(super) fn turn_store(&mut self, crash: Option<Crash>, now: Timestamp) -> Stored {
        if let Some(crash) = crash {
            self.cluster.sequencer.disk().crash_next(crash);
        }
        let answers = self.cluster.sequencer.commit_group(now);
        if answers.iter().any(|(_, answer)| matches!(answer, Err(Refusal::Unavailable(_)))) {
            return Stored::Died;
        }
        let mut told = Vec::new();
        for (ticket, answer) in answers {
            match self.waiting.remove(&ticket) {
                Some(Waiting::Step(step)) => self.settled.push_back((step, answer)),
                Some(Waiting::Call(id, mut attempt)) => {
                    let answer = attempt.answered(answer).or_else(|| self.attempt(id, attempt, now));
                    told.extend(answer.map(|answer| (id, answer)));
                }
                None => {}
            }
        }
        Stored::Decided(told)
    }

    /// The process ends and another opens the store again. Requests under way are never answered.
    pub(super) fn reopen(&mut self, now: Timestamp) {
        self.waiting.clear();
        self.settled.clear();
        self.heard = Revision(0);
        self.steps_before = self.steps();
        self.commits_before = self.commits();
        self.cluster.now = now;
        self.cluster.power_cut();
    }

    /// Somebody wakes an operator for nothing.
    pub(super) fn wake_for_nothing(&mut self, chance: u64, now: Timestamp) -> Option<String> {
        let snapshot = self.snapshot();
        let charts: Vec<&str> = self.cluster.driver.charts().map(|chart| chart.name).collect();
        let operator = *charts.get(usize::try_from(chart_index(chance, charts.len())).unwrap_or_default())?;
        let resource = snapshot.resources().find(|resource| resource.plural == format!("{operator}s"))?;
        let objects: Vec<_> = snapshot.list(resource, None, None).collect();
        let object = objects.get(usize::try_from(chart_index(chance >> 8, objects.len())).unwrap_or_default())?;
        self.cluster.driver.wake(operator, object.key(), now);
        Some(format!("{operator} is woken for {}", object.key()))
    }

    /// What is wrong with the operators, if anything is.
    pub(super) fn fault(&self) -> Option<&String> {
        self.cluster.breach.as_ref().map(|breach| &breach.problem)
    }

    /// The operators' driver, to be looked at.
    pub(super) fn driver(&self) -> &sampan_core::operator::Driver {
        &self.cluster.driver
    }

    /// Steps run so far.
    pub(super) fn steps(&self) -> u64 {
        self.steps_before + self.cluster.driver.figures().map(|(_, figures)| figures.steps).sum::<u64>()
    }

    /// Steps committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits_before + self.cluster.driver.figures().map(|(_, figures)| figures.commits).sum::<u64>()
    }
}

fn chart_index(chance: u64, count: usize) -> u64 {
    chance % (count.max(1) as u64)
}
