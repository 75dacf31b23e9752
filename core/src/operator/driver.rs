//! Drives operators: wakes, steps, commits, timers. A plain struct advanced by calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sampan_machine::WakeReason;

use super::Operator;
use super::errands::Errands;
use super::flight::Flight;
use super::progress::{Disabled, Figures, Progress, StepReport, Ticket};
use super::queue::{OperatorId, Pending, Queue, Slot};
use super::record;
use super::recorder::Recorder;
use super::router::{Router, Surroundings, concerns};
use super::seat::{Seat, seat};
use super::standing::{Standing, Standings};
use super::timers::Timers;
use crate::entropy::{Entropy, SeededEntropy};
use crate::gateway::{Gateway, Inquiry};
use crate::object::ObjectKey;
use crate::resource::EFFECTS;
use crate::store::{Event, Snapshot};

/// After so many conflicts in a row a step asks for what it rests on to be held still.
pub(super) const CONFLICTS_BEFORE_RESERVING: u32 = 3;
/// The most commits under way. Each holds up to 500 prepared changes, some megabyte; and the more there are, the older is
/// what the next step would rest on.
pub const FLIGHTS_MAX: usize = 64;

/// A timer that ends so late tells that the process did not run meanwhile, or that somebody set the clock.
const OVERSLEPT: SignedDuration = SignedDuration::from_secs(5);

/// One of the operators driven.
pub(super) struct Member {
    pub(super) seat: Box<dyn Seat>,
    pub(super) recorder: Recorder,
    pub(super) figures: Figures,
    pub(super) disabled: bool,
}

/// Drives operators. It does no I/O and owns no thread: a [`Loop`](super::Loop) tells it what changed and passes on what
/// it hands out.
pub struct Driver {
    pub(super) gateway: Arc<Gateway>,
    pub(super) entropy: SeededEntropy,
    pub(super) members: BTreeMap<OperatorId, Member>,
    pub(super) router: Router,
    pub(super) queue: Queue,
    pub(super) timers: Timers,
    pub(super) standings: Standings,
    pub(super) flights: BTreeMap<Ticket, Flight>,
    /// Steps that ended before they could decide, with the wake-ups they took.
    pub(super) suspended: BTreeMap<Slot, Pending>,
    /// What webhooks have answered to steps that are not settled yet.
    pub(super) inquiries: BTreeMap<Slot, Inquiry>,
    /// Steps that wait for webhooks.
    pub(super) asking: BTreeSet<Slot>,
    pub(super) errands: Errands,
    tickets: u64,
    /// Since when it hears of what happens without a gap.
    pub(super) hears_since: Timestamp,
    pub(super) disabled: Vec<Disabled>,
    pub(super) last_step: Option<StepReport>,
    /// How many operators have ever been added: an id is never given twice.
    added: usize,
}

impl Clone for Driver {
    /// A driver of the same operators in the same states, whose entropy goes the same way: for simulation.
    fn clone(&self) -> Self {
        Self {
            gateway: self.gateway.clone(),
            entropy: self.entropy.clone(),
            members: self.members.iter().map(|(id, member)| (*id, member.fork())).collect(),
            router: self.router.clone(),
            queue: self.queue.clone(),
            timers: self.timers.clone(),
            standings: self.standings.clone(),
            flights: self.flights.clone(),
            suspended: self.suspended.clone(),
            inquiries: self.inquiries.clone(),
            asking: self.asking.clone(),
            errands: self.errands.clone(),
            tickets: self.tickets,
            hears_since: self.hears_since,
            disabled: self.disabled.clone(),
            last_step: self.last_step.clone(),
            added: self.added,
        }
    }
}

impl Member {
    fn fork(&self) -> Self {
        let Self { seat, recorder, figures, disabled } = self;
        Self { seat: seat.fork(), recorder: recorder.clone(), figures: *figures, disabled: *disabled }
    }

    pub(super) fn name(&self) -> &'static str {
        self.seat.declaration().name
    }
}

impl Driver {
    /// A driver without operators. Its names and waits are drawn from `entropy`.
    pub fn new(gateway: Arc<Gateway>, mut entropy: Box<dyn Entropy>) -> Self {
        Self {
            gateway,
            entropy: SeededEntropy::new(entropy.next_u64()),
            members: BTreeMap::new(),
            router: Router::default(),
            queue: Queue::default(),
            timers: Timers::default(),
            standings: Standings::default(),
            flights: BTreeMap::new(),
            suspended: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            asking: BTreeSet::new(),
            errands: Errands::default(),
            tickets: 0,
            hears_since: Timestamp::MIN,
            disabled: Vec::new(),
            last_step: None,
            added: 0,
        }
    }

    /// Adds an operator. Call [`start`](Self::start) once all are there.
    pub fn add<O: Operator>(&mut self, operator: O) {
        self.admit(operator);
    }

    fn admit<O: Operator>(&mut self, operator: O) -> OperatorId {
        let seat = seat(operator);
        let declaration = seat.declaration();
        let source = declaration.event_source.map_or_else(|| declaration.manager(), str::to_owned);
        let id = OperatorId(self.added);
        self.added += 1;
        self.router.add(id, declaration.clone());
        let recorder = Recorder::new(source);
        self.members.insert(id, Member { seat, recorder, figures: Figures::default(), disabled: false });
        id
    }

    /// Adds an operator while others run, in the place of one of the same name, and wakes its primaries.
    pub fn install<O: Operator>(&mut self, operator: O, snapshot: &Snapshot, now: Timestamp) {
        let id = self.admit(operator);
        let name = self.members.get(&id).map(Member::name).unwrap_or_default();
        let before = self.members.iter().find(|(other, member)| **other != id && member.name() == name);
        if let Some(before) = before.map(|(before, _)| *before) {
            self.dismiss(before);
        }
        self.start_member(id, snapshot, now);
    }

    /// Takes an operator away: nothing of it is stepped any more, and commits under way are settled for nobody. `false`
    /// where there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        let found = self.id_of(name);
        found.into_iter().for_each(|id| self.dismiss(id));
        found.is_some()
    }

    fn dismiss(&mut self, id: OperatorId) {
        self.quiet(id);
        if let Some(member) = self.members.remove(&id) {
            self.disabled.retain(|disabled| disabled.operator != member.name());
        }
    }

    /// Lets an operator's timers, wake-ups and memories go.
    fn quiet(&mut self, id: OperatorId) {
        self.queue.clear(id);
        self.timers.clear(id);
        self.standings.clear(id);
        self.router.remove(id);
        self.suspended.retain(|(owner, _), _| *owner != id);
        self.inquiries.retain(|(owner, _), _| *owner != id);
        self.asking.retain(|(owner, _)| *owner != id);
    }

    /// The operator, unless it is gone or disabled.
    pub(super) fn acting(&mut self, id: OperatorId) -> Option<&mut Member> {
        self.members.get_mut(&id).filter(|member| !member.disabled)
    }

    pub(super) fn id_of(&self, name: &str) -> Option<OperatorId> {
        self.members.iter().find(|(_, member)| member.name() == name).map(|(id, _)| *id)
    }

    /// Wakes every primary: what happened while nobody looked is unknown. Changes after `snapshot` are to be observed.
    pub fn start(&mut self, snapshot: &Snapshot, now: Timestamp) {
        self.gateway.learn(snapshot);
        self.hears_since = now;
        let all: Vec<OperatorId> = self.members.keys().copied().collect();
        for id in all {
            self.start_member(id, snapshot, now);
        }
    }

    fn start_member(&mut self, id: OperatorId, snapshot: &Snapshot, now: Timestamp) {
        let Some(member) = self.members.get(&id).filter(|member| !member.disabled) else { return };
        let declaration = member.seat.declaration();
        let resources = declaration.primary.map_or_else(|| snapshot.resources().collect(), |only| vec![only]);
        for object in resources.into_iter().flat_map(|resource| snapshot.list(resource, None, None)) {
            match concerns(declaration, object) {
                Ok(false) => {}
                Ok(true) => {
                    let reason = WakeReason { cause: record::START.into(), revision: 0 };
                    self.queue.wake((id, object.key().clone()), reason, now);
                }
                Err(panic) => {
                    self.disable_on(id, &object.key().clone(), panic.0);
                    return;
                }
            }
        }
        self.wake_for_what_is_left(id, snapshot, now);
        self.take_up_effects(id, snapshot);
    }

    /// Wakes those who are woken from the start by what they watch, whether they are there or not.
    fn wake_for_what_is_left(&mut self, id: OperatorId, snapshot: &Snapshot, now: Timestamp) {
        let registry = self.gateway.registry();
        let woken = self.router.left_for(id, &Surroundings { snapshot, registry: &registry });
        for (object, keys) in woken {
            match keys {
                Ok(keys) => {
                    for key in keys {
                        let reason = WakeReason { cause: record::START.into(), revision: 0 };
                        self.queue.wake((id, key), reason, now);
                    }
                }
                Err(panic) => return self.disable_on(id, &object, panic.0),
            }
        }
    }

    /// Hears of changes, in order; `snapshot` holds at least all of them.
    pub fn observe(&mut self, events: &[Arc<Event>], snapshot: &Snapshot, now: Timestamp) {
        // What is served comes first: whoever is woken finds the types these changes define.
        self.gateway.hear(events);
        let registry = self.gateway.registry();
        let around = Surroundings { snapshot, registry: &registry };
        for event in events {
            if event.key.resource == EFFECTS {
                self.hear_of_effect(event);
            }
            for (operator, keys) in self.router.route(event, &around) {
                match keys {
                    Ok(keys) => self.wake_all(operator, keys, event, now),
                    Err(panic) => self.disable_on(operator, &event.key, panic.0),
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
        if let Some(id) = self.id_of(operator).filter(|id| self.acting(*id).is_some()) {
            let reason = WakeReason { cause: record::RETRY.into(), revision: 0 };
            self.queue.wake((id, key.clone()), reason, now);
        }
    }

    /// Runs a step again that was suspended, with the wake-up it took. Nothing happens where none is.
    pub fn resume(&mut self, operator: &str, key: &ObjectKey) {
        let Some(id) = self.id_of(operator) else { return };
        if let Some((slot, taken)) = self.suspended.remove_entry(&(id, key.clone())) {
            self.queue.put_back(slot, Pending { insists: true, ..taken });
        }
    }

    /// Lets the key that is next come last, as when steps run side by side: for simulation.
    pub(super) fn postpone(&mut self) {
        self.queue.postpone();
    }

    /// Runs at most one step on `snapshot`, which holds all changes observed and all commits settled. With
    /// [`FLIGHTS_MAX`] commits under way there is nothing to do before one of them is settled.
    pub fn poll(&mut self, snapshot: &Snapshot, now: Timestamp) -> Progress {
        let has_overslept = self.timers.next().is_some_and(|due| now.duration_since(due) > OVERSLEPT);
        if has_overslept || now < self.hears_since {
            self.hears_since = now;
        }
        while let Some((slot, cause)) = self.timers.take_due(now) {
            self.queue.wake(slot, WakeReason { cause: cause.into(), revision: 0 }, now);
        }
        if self.under_way() >= FLIGHTS_MAX {
            return Progress::Idle;
        }
        self.poll_effects(snapshot, now).unwrap_or_else(|| self.poll_step(snapshot, now))
    }

    /// The step that a reservation was asked for, and nothing else: it is the next in the queue.
    pub(super) fn poll_step(&mut self, snapshot: &Snapshot, now: Timestamp) -> Progress {
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

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// An operator panicked: it is not stepped any more, and what it had to do is dropped.
    pub(super) fn disable(&mut self, operator: OperatorId, disabled: Disabled) {
        let Some(member) = self.acting(operator) else { return };
        member.disabled = true;
        tracing::error!("{disabled}: it is disabled");
        self.quiet(operator);
        self.disabled.push(disabled);
    }

    /// Disables one that panicked while it was asked about a changed object.
    pub(super) fn disable_on(&mut self, operator: OperatorId, object: &ObjectKey, reason: String) {
        let Some(member) = self.acting(operator) else { return };
        let of = member.seat.declaration().primary;
        let disabled = Disabled { operator: member.name(), of, object: object.clone(), reason };
        self.disable(operator, disabled);
    }
}
