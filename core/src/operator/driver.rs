//! Drives operators: wakes, steps, commits, timers. A plain struct advanced by calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::{Chart, Decision, UNOBSERVED, WakeReason};

use super::assembly::{Assembly, AssemblyError, Workbench, assemble};
use super::progress::{Disabled, Figures, Progress, StepCommit, StepReport, Ticket};
use super::queue::{OperatorId, Pending, Queue, Slot};
use super::record;
use super::recorder::Recorder;
use super::router::{Router, Surroundings};
use super::seat::{Seat, StepPanic, Stepped, seat};
use super::standing::{Standing, Standings};
use super::timers::Timers;
use super::{Command, Operator, Refused, Wake, WriteVerb, backoff};
use crate::entropy::{Entropy, SeededEntropy};
use crate::gateway::Gateway;
use crate::object::{ObjectKey, ResourceType, Revision};
use crate::status::Status;
use crate::store::{Commit, Event, ReadKey, Refusal, Snapshot, Write};

/// After so many conflicts in a row a step asks for what it reads to be held still.
pub(super) const CONFLICTS_BEFORE_RESERVING: u32 = 3;
/// How often a step is run again with what was refused before it waits: each run may meet one more refusal.
const REFUSALS_PER_STEP_MAX: usize = 3;

struct Member {
    seat: Box<dyn Seat>,
    recorder: Recorder,
    figures: Figures,
    disabled: bool,
}

/// A step whose commit is under way.
#[derive(Clone)]
struct Flight {
    slot: Slot,
    taken: Pending,
    reads: Vec<ReadKey>,
    after: After,
}

/// What becomes true of a machine once its step is settled.
#[derive(Clone)]
struct After {
    snapshot: Revision,
    decision: Option<Decision>,
    wake_at: Option<Timestamp>,
    left_over: bool,
    refused: bool,
    gone: bool,
    /// What the first of the commands would have created.
    first_created: Option<ResourceType>,
}

/// Drives operators. It does no I/O and owns no thread: a shell tells it what changed and commits what it hands out.
pub struct Driver {
    gateway: Arc<Gateway>,
    entropy: SeededEntropy,
    members: Vec<Member>,
    router: Router,
    queue: Queue,
    timers: Timers,
    standings: Standings,
    flights: BTreeMap<Ticket, Flight>,
    tickets: u64,
    disabled: Vec<Disabled>,
    last_step: Option<StepReport>,
}

impl Clone for Driver {
    /// A driver of the same operators in the same states, whose entropy goes the same way: for simulation.
    fn clone(&self) -> Self {
        Self {
            gateway: self.gateway.clone(),
            entropy: self.entropy.clone(),
            members: self.members.iter().map(Member::fork).collect(),
            router: self.router.clone(),
            queue: self.queue.clone(),
            timers: self.timers.clone(),
            standings: self.standings.clone(),
            flights: self.flights.clone(),
            tickets: self.tickets,
            disabled: self.disabled.clone(),
            last_step: self.last_step.clone(),
        }
    }
}

impl Member {
    fn fork(&self) -> Self {
        let Self { seat, recorder, figures, disabled } = self;
        Self { seat: seat.fork(), recorder: recorder.clone(), figures: *figures, disabled: *disabled }
    }
}

impl Driver {
    /// A driver without operators. Its names and waits are drawn from `entropy`.
    pub fn new(gateway: Arc<Gateway>, mut entropy: Box<dyn Entropy>) -> Self {
        Self {
            gateway,
            entropy: SeededEntropy::new(entropy.next_u64()),
            members: Vec::new(),
            router: Router::default(),
            queue: Queue::default(),
            timers: Timers::default(),
            standings: Standings::default(),
            flights: BTreeMap::new(),
            tickets: 0,
            disabled: Vec::new(),
            last_step: None,
        }
    }

    /// Adds an operator. Call [`start`](Self::start) once all are there.
    pub fn add<O: Operator>(&mut self, operator: O) {
        let seat = seat(operator);
        let declaration = seat.declaration();
        let source = declaration.event_source.map_or_else(|| declaration.manager(), str::to_owned);
        self.router.add(OperatorId(self.members.len()), declaration.clone());
        let recorder = Recorder::new(source);
        self.members.push(Member { seat, recorder, figures: Figures::default(), disabled: false });
    }

    /// Wakes every primary: what happened while nobody looked is unknown. Changes after `snapshot` are to be observed.
    pub fn start(&mut self, snapshot: &Snapshot, now: Timestamp) {
        for (index, member) in self.members.iter().enumerate() {
            let declaration = member.seat.declaration();
            let resources = declaration.primary.map_or_else(|| snapshot.resources().collect(), |only| vec![only]);
            for object in resources.into_iter().flat_map(|resource| snapshot.list(resource, None, None)) {
                if declaration.concerns.is_none_or(|concerns| concerns(object)) {
                    let slot = (OperatorId(index), object.key().clone());
                    self.queue.wake(slot, WakeReason { cause: record::START.into(), revision: 0 }, now);
                }
            }
        }
    }

    /// Hears of changes, in order; `snapshot` holds at least all of them.
    pub fn observe(&mut self, events: &[Arc<Event>], snapshot: &Snapshot, now: Timestamp) {
        let registry = self.gateway.registry();
        let around = Surroundings { snapshot, registry: &registry };
        for event in events {
            for (operator, keys) in self.router.route(event, &around) {
                match keys {
                    Ok(keys) => self.wake_all(operator, keys, event, now),
                    Err(panic) => self.disable(operator, &event.key, panic.0),
                }
            }
        }
    }

    fn wake_all(&mut self, operator: OperatorId, keys: Vec<ObjectKey>, event: &Event, now: Timestamp) {
        for key in keys {
            let reason = WakeReason { cause: event.key.to_string(), revision: event.revision.0 };
            self.queue.wake((operator, key), reason, now);
        }
    }

    /// Wakes one primary of an operator as a timer would: for tests and for people.
    pub fn wake(&mut self, operator: &str, key: &ObjectKey, now: Timestamp) {
        let found = self.members.iter().position(|member| member.seat.declaration().name == operator);
        if let Some(index) = found {
            let reason = WakeReason { cause: record::RETRY.into(), revision: 0 };
            self.queue.wake((OperatorId(index), key.clone()), reason, now);
        }
    }

    /// Runs at most one step on `snapshot`, which holds all changes observed and all commits settled.
    pub fn poll(&mut self, snapshot: &Snapshot, now: Timestamp) -> Progress {
        while let Some((slot, cause)) = self.timers.take_due(now) {
            self.queue.wake(slot, WakeReason { cause: cause.into(), revision: 0 }, now);
        }
        let Some((slot, taken)) = self.queue.take() else {
            return Progress::Idle;
        };
        let standing = self.standings.of(&slot);
        if let Some(reads) = standing.and_then(Standing::reads_to_reserve) {
            let reads = reads.to_vec();
            self.standings.reserved(&slot);
            self.queue.put_back(slot, taken);
            return Progress::Reserve(reads);
        }
        let seen = standing.map(|standing| standing.seen);
        if !taken.insists && taken.refusal.is_none() && seen.is_some_and(|seen| taken.newest <= seen.0) {
            // The last step read a snapshot that holds all of these changes already.
            self.queue.free(&slot);
            return Progress::Stepped;
        }
        self.step(slot, taken, snapshot, now)
    }

    fn step(&mut self, slot: Slot, mut taken: Pending, snapshot: &Snapshot, now: Timestamp) -> Progress {
        let mut refused = taken.refusal.is_some();
        for attempt in 0..=REFUSALS_PER_STEP_MAX {
            let wake = Wake { key: slot.1.clone(), reasons: taken.reasons.clone(), refusal: taken.refusal.take() };
            let Some(member) = self.members.get_mut(slot.0.0) else { return Progress::Idle };
            member.figures.steps += 1;
            let stepped = match member.seat.step(&wake, snapshot, now, &mut self.entropy) {
                Ok(stepped) => stepped,
                Err(StepPanic(reason)) => {
                    self.disable(slot.0, &slot.1, reason);
                    return Progress::Stepped;
                }
            };
            self.last_step = Some(StepReport {
                operator: member.seat.declaration().name,
                key: slot.1.clone(),
                crossings: stepped.out.trace.crossings().to_vec(),
                fault: stepped.out.fault.as_ref().map(ToString::to_string),
            });
            if let Some(fault) = stepped.out.fault.clone() {
                return self.hold(slot, &taken, &fault, snapshot, now);
            }
            let bench = Workbench {
                gateway: &self.gateway,
                snapshot,
                now,
                declaration: member.seat.declaration(),
                primary: &slot.1,
            };
            match assemble(&bench, &stepped.out, &mut member.recorder, &mut self.entropy) {
                Ok(assembly) => return self.launch(slot, taken, stepped, assembly, refused, snapshot, now),
                // A name drawn at random may be taken: the next draw is another.
                Err(AssemblyError::Refused(refusal)) if attempt == 0 && refusal.status.reason == "AlreadyExists" => {}
                Err(AssemblyError::Refused(refusal)) => {
                    member.figures.refusals += 1;
                    taken.refusal = Some(refusal);
                    refused = true;
                }
                Err(AssemblyError::Transient(status)) => {
                    tracing::warn!(object = %slot.1, %status, "a step waits");
                    return self.retry_later(slot, taken, now);
                }
                Err(error @ (AssemblyError::Undeclared { .. } | AssemblyError::Unserved(_))) => {
                    self.last_step.iter_mut().for_each(|step| step.fault = Some(error.to_string()));
                    return self.hold(slot, &taken, &error, snapshot, now);
                }
            }
        }
        self.retry_later(slot, taken, now)
    }

    /// The step is void and stays so until something changes: the decision says why.
    fn hold(
        &mut self,
        slot: Slot,
        taken: &Pending,
        fault: &dyn std::fmt::Display,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Progress {
        let Some(member) = self.members.get_mut(slot.0.0) else { return Progress::Idle };
        member.seat.discard(&slot.1);
        let state = member.seat.state(&slot.1);
        let operator = member.seat.declaration().name;
        tracing::error!(operator, object = %slot.1, %fault, "a step is void");
        let decision = record::void(operator, &slot.1, taken, state, &fault.to_string(), snapshot.revision(), now);
        let after = After {
            snapshot: snapshot.revision(),
            decision: Some(decision.clone()),
            wake_at: None,
            left_over: false,
            refused: false,
            gone: false,
            first_created: None,
        };
        if self.standings.verdict(&slot).repeats(&decision) {
            self.settle(&slot, after, now);
            return Progress::Stepped;
        }
        let write = record::alone(decision);
        self.fly(slot, taken.clone(), Vec::new(), after, write)
    }

    #[expect(clippy::too_many_arguments, reason = "everything a step came to")]
    fn launch(
        &mut self,
        slot: Slot,
        taken: Pending,
        stepped: Stepped,
        assembly: Assembly,
        refused: bool,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Progress {
        let Some(member) = self.members.get(slot.0.0) else { return Progress::Idle };
        let gone = snapshot.get(&slot.1).is_none();
        let Assembly { mut write, records, left_over } = assembly;
        let operator = member.seat.declaration().name;
        let decision = record::decision(operator, &slot.1, &taken, &stepped, records, snapshot.revision(), now);
        let wake_at = stepped.out.wake_after.and_then(|delay| now.checked_add(delay).ok());
        let after = After {
            snapshot: snapshot.revision(),
            decision: Some(decision.clone()),
            wake_at,
            left_over,
            refused,
            gone,
            first_created: first_created(&stepped.out.commands),
        };
        if write.changes.is_empty() {
            let resting = stepped.from == UNOBSERVED && record::only_started(&taken);
            if gone || resting || self.standings.verdict(&slot).repeats(&decision) {
                if let Some(member) = self.members.get_mut(slot.0.0) {
                    member.seat.keep(&slot.1);
                }
                self.settle(&slot, after, now);
                return Progress::Stepped;
            }
            write.guard = None;
        }
        write.decision = Some(decision);
        let reads = stepped.out.reads.into_iter().collect();
        self.fly(slot, taken, reads, after, write)
    }

    fn fly(&mut self, slot: Slot, taken: Pending, reads: Vec<ReadKey>, after: After, write: Write) -> Progress {
        let operator = self.members.get(slot.0.0).map_or("", |member| member.seat.declaration().name);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let key = slot.1.clone();
        self.flights.insert(ticket, Flight { slot, taken, reads, after });
        Progress::Commit(Box::new(StepCommit { ticket, operator, key, write }))
    }

    /// Hears what became of a commit.
    pub fn settled(&mut self, ticket: Ticket, outcome: Result<&Commit, &Refusal>, now: Timestamp) {
        let Some(flight) = self.flights.remove(&ticket) else { return };
        let Flight { slot, taken, reads, after } = flight;
        let Some(member) = self.members.get_mut(slot.0.0) else { return };
        match outcome {
            Ok(_) => {
                member.figures.commits += 1;
                member.seat.keep(&slot.1);
                self.settle(&slot, after, now);
            }
            Err(Refusal::Unavailable(_) | Refusal::Overloaded | Refusal::TooManyChanges { .. }) => {
                self.retry_later(slot, taken, now);
            }
            Err(refusal @ (Refusal::NamespaceMissing(_) | Refusal::NamespaceTerminating(_))) => {
                member.seat.discard(&slot.1);
                let refused = Refused {
                    accepted_before: 0,
                    resource: after.first_created.unwrap_or(slot.1.resource),
                    verb: WriteVerb::Create,
                    status: Status::forbidden(refusal.to_string()),
                };
                self.queue.put_back(slot, Pending { insists: true, refusal: Some(Arc::new(refused)), ..taken });
            }
            Err(Refusal::Exists(_) | Refusal::Missing(_) | Refusal::Changed { .. } | Refusal::Guard { .. }) => {
                member.figures.conflicts += 1;
                member.seat.discard(&slot.1);
                self.standings.conflicted(&slot, reads);
                self.queue.put_back(slot, Pending { insists: true, ..taken });
            }
        }
    }

    /// The step is done: its machine is live.
    fn settle(&mut self, slot: &Slot, after: After, now: Timestamp) {
        if after.gone {
            self.standings.forget(slot);
            self.timers.cancel(slot);
            if let Some(member) = self.members.get_mut(slot.0.0) {
                member.seat.forget(&slot.1);
            }
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

    fn retry_later(&mut self, slot: Slot, taken: Pending, now: Timestamp) -> Progress {
        if let Some(member) = self.members.get_mut(slot.0.0) {
            member.seat.discard(&slot.1);
        }
        let tries = self.standings.failed(&slot);
        let delay = backoff::delay(tries, &mut self.entropy);
        // The wake-up is kept by its timer: a transient failure loses nothing but its reasons.
        drop(taken);
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
            if let (true, Some(member)) = (rests, self.members.get_mut(slot.0.0)) {
                member.seat.forget(&slot.1);
            }
        }
    }

    fn disable(&mut self, operator: OperatorId, object: &ObjectKey, reason: String) {
        let Some(member) = self.members.get_mut(operator.0) else { return };
        if std::mem::replace(&mut member.disabled, true) {
            return;
        }
        let operator_name = member.seat.declaration().name;
        tracing::error!(operator = operator_name, %object, reason, "the operator panicked and is disabled");
        self.queue.clear(operator);
        self.router.remove(operator);
        self.disabled.push(Disabled { operator: operator_name, object: object.clone(), reason });
    }
}

fn first_created(commands: &[Command]) -> Option<ResourceType> {
    commands
        .iter()
        .filter_map(Command::permission)
        .find_map(|(verb, resource)| (verb == WriteVerb::Create).then_some(resource))
}

/// What the driver shows.
impl Driver {
    /// When to call [`poll`](Self::poll) although nothing changes.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Whether a step could run now.
    pub fn is_ready(&self) -> bool {
        self.queue.is_ready()
    }

    /// Whether no key waits and no commit is under way. Timers may still run.
    pub fn is_at_rest(&self) -> bool {
        self.queue.len() == 0 && self.flights.is_empty()
    }

    /// The wake-up nobody has handled for longest: operator, key and since when.
    pub fn oldest_unhandled(&self) -> Option<(&'static str, ObjectKey, Timestamp)> {
        let (slot, since) = self.queue.oldest()?;
        let member = self.members.get(slot.0.0)?;
        Some((member.seat.declaration().name, slot.1.clone(), since))
    }

    /// How many keys wait for a step.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The keys that wait for a step, with their operators.
    pub fn waiting(&self) -> impl Iterator<Item = (&'static str, &ObjectKey)> {
        let name = |operator: OperatorId| self.members.get(operator.0).map_or("", |it| it.seat.declaration().name);
        self.queue.waiting().map(move |(operator, key)| (name(*operator), key))
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
        self.members.iter().map(|member| (member.seat.declaration().name, member.figures))
    }

    /// The operators' charts.
    pub fn charts(&self) -> impl Iterator<Item = &'static Chart> {
        self.members.iter().map(|member| member.seat.chart())
    }

    /// The state of an operator's machine for a key.
    pub fn state(&self, operator: &str, key: &ObjectKey) -> Option<&'static str> {
        let member = self.members.iter().find(|member| member.seat.declaration().name == operator)?;
        Some(member.seat.state(key))
    }
}
