//! The shipping gateway, sequencer and driver on a store in memory and on virtual time.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use sampan_core::entropy::{Entropy as _, SeededEntropy};
use sampan_core::gateway::{
    Admission, DefaultTolerationSeconds, Gateway, NamespaceLifecycle, Priority, SystemAuthorizer,
};
use sampan_core::object::{Object, ObjectKey, Revision, Uid};
use sampan_core::operator::{Driver, EffectRun, Loop, Turn};
use sampan_core::resource::{Registry, builtin};
use sampan_core::store::{Commit, MemoryBackend, MemoryDisk, Refusal, Sequencer, Settings, Snapshot, Ticket, Write};
use sampan_machine::UNOBSERVED;
use serde_json::{Value, json};

use crate::dock::{Dock, Launched};
use crate::done::{Became, Done, Draft};
use crate::edit::Refusing;
use crate::property::{Breach, Property};
use crate::world::{Edit, World};

/// When every world begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// The ticket of steps.
const STEP: Ticket = Ticket(0);
/// The ticket of writes that are not steps'.
const OTHERS: Ticket = Ticket(1);

thread_local! {
    /// Steps run on this thread: by every cluster there was, whatever became of it.
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// How many steps were run on this thread. A difference of two is what the work between them came to: all of it, also what was only
/// tried.
pub(crate) fn steps_of_this_thread() -> u64 {
    STEPS.get()
}

/// A transition a machine took: the machine's name, the states and the guard.
pub(crate) type Crossed = (&'static str, &'static str, &'static str, &'static str);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// There was nothing to step.
    AtRest,
    /// A step ran and had nothing to commit.
    Stepped,
    /// A step's commands were committed.
    Committed,
    /// A step's commands were refused, because something had changed.
    Refused,
}

/// When the process ends, beside a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The step has run and nothing of its commit is durable.
    Before,
    /// The commit is durable, and nobody has heard of it.
    At,
    /// The commit is durable, and the driver has heard of it.
    After,
}

/// A cluster that can be forked.
pub struct Cluster<'w> {
    world: &'w World,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) sequencer: Sequencer<MemoryBackend>,
    /// The loop that ships, with its driver to be looked at.
    pub driver: Loop,
    /// The virtual time.
    pub now: Timestamp,
    pub(crate) entropy: SeededEntropy,
    refusing: Arc<AtomicBool>,
    /// The world beyond the store, where effects act.
    pub(crate) beyond: Value,
    /// How often each actor has acted.
    pub(crate) acted: Vec<usize>,
    /// What became of every step since the fork.
    pub(crate) done: Vec<Done>,
    /// Every transition taken since the fork.
    pub(crate) crossed: BTreeSet<Crossed>,
    /// How many steps were run since the fork.
    pub(crate) steps: u64,
    /// The first thing found wrong.
    pub(crate) breach: Option<Breach>,
    /// Where the laws of every revision were last found to hold.
    pub(crate) lawful_at: Cell<Option<(Revision, Timestamp)>>,
}

impl<'w> Cluster<'w> {
    /// The world as it starts: its objects are there, its operators have just begun.
    ///
    /// # Panics
    /// When the world's own objects are refused.
    pub fn new(world: &'w World) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().chain(world.definitions.iter().cloned()).for_each(|it| registry.register(it));
        let refusing = Arc::new(AtomicBool::new(false));
        let mut admissions = (world.admissions)();
        let always: [Box<dyn Admission>; 3] =
            [Box::new(NamespaceLifecycle), Box::new(Priority), Box::new(DefaultTolerationSeconds)];
        admissions.splice(0..0, always);
        admissions.push(Box::new(Refusing(refusing.clone())));
        let gateway = Arc::new(Gateway::new(registry, Box::new(SystemAuthorizer), admissions));
        let driver = Loop::new(Driver::new(gateway.clone(), Box::new(SeededEntropy::new(world.seed))));
        let mut cluster = Self {
            world,
            gateway,
            sequencer: open(&MemoryDisk::default(), world),
            driver,
            now: EPOCH,
            entropy: SeededEntropy::new(world.seed),
            refusing,
            beyond: world.beyond.clone(),
            acted: vec![0; world.actors.len()],
            done: Vec::new(),
            crossed: BTreeSet::new(),
            steps: 0,
            breach: None,
            lawful_at: Cell::new(None),
        };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
        for object in std::iter::once(&namespace).chain(&world.initial) {
            cluster.edit(&Edit::Create(object.clone())).unwrap_or_else(|why| panic!("{}: {why}: {object}", world.name));
        }
        cluster.restart();
        cluster
    }

    /// The same cluster, to go on another way.
    pub fn fork(&self) -> Self {
        Self {
            world: self.world,
            gateway: self.gateway.clone(),
            sequencer: self.sequencer.fork(),
            driver: self.driver.clone(),
            now: self.now,
            entropy: self.entropy.clone(),
            refusing: self.refusing.clone(),
            beyond: self.beyond.clone(),
            acted: self.acted.clone(),
            done: Vec::new(),
            crossed: BTreeSet::new(),
            steps: 0,
            breach: self.breach.clone(),
            lawful_at: self.lawful_at.clone(),
        }
    }

    /// The world it is in.
    pub fn world(&self) -> &'w World {
        self.world
    }

    /// The cluster as it stands.
    pub fn snapshot(&self) -> Snapshot {
        self.sequencer.snapshot()
    }
}

/// The process and its clock.
impl Cluster<'_> {
    /// The process ends and another begins: drivers keep nothing.
    pub fn restart(&mut self) {
        let seed = self.entropy.next_u64();
        let mut driver = Driver::new(self.gateway.clone(), Box::new(SeededEntropy::new(seed)));
        (self.world.operators)(&mut driver);
        self.driver = Loop::new(driver);
        self.hear();
    }

    /// The power goes: the store is read back from what is on the disk.
    pub fn power_cut(&mut self) {
        self.sequencer = open(self.sequencer.disk(), self.world);
        self.restart();
    }

    /// One step and its commit, and the process ends before, at or after that.
    pub fn step_and_crash(&mut self, moment: Moment) -> Moved {
        let (_, launched) = self.turn();
        let moved = match moment {
            Moment::Before => None,
            Moment::At => self.commit(launched, Settling::Unheard),
            Moment::After => self.commit(launched, Settling::Heard),
        };
        self.restart();
        moved.unwrap_or(Moved::Stepped)
    }

    /// Time goes on to the next timer. `false` where there is none.
    pub fn advance(&mut self) -> bool {
        let next = self.driver.next_deadline();
        if let Some(at) = next {
            self.now = self.now.max(at);
        }
        next.is_some()
    }

    /// Somebody sets the clock.
    pub fn jump(&mut self, by: SignedDuration) {
        self.now = self.now.checked_add(by).unwrap_or(self.now);
    }

    /// Every machine is woken, though nothing has changed.
    pub fn wake_everything(&mut self) {
        let snapshot = self.snapshot();
        let names: Vec<&'static str> = self.driver.charts().map(|chart| chart.name).collect();
        for object in snapshot.resources().flat_map(|resource| snapshot.list(resource, None, None)) {
            for name in &names {
                if self.driver.state(name, object.key()).is_some_and(|state| state != UNOBSERVED) {
                    self.driver.wake(name, object.key(), self.now);
                }
            }
        }
    }
}

/// Steps.
impl Cluster<'_> {
    /// One step of one key, and its commit.
    pub fn step(&mut self) -> Moved {
        match self.turn() {
            (Turn::Idle, _) => Moved::AtRest,
            (_, launched) => self.commit(launched, Settling::Heard).unwrap_or(Moved::Stepped),
        }
    }

    /// One step of one key, and its commit, though the driver has not heard of all there is to hear.
    pub fn step_unheard(&mut self) -> Moved {
        let (turned, launched, effects) = self.turn_with(|driver, dock| driver.turn_unheard(dock));
        self.finish(effects);
        match turned {
            Turn::Idle => Moved::AtRest,
            _ => self.commit(launched, Settling::Late).unwrap_or(Moved::Stepped),
        }
    }

    /// One step while every creation is refused.
    pub fn step_refused(&mut self) -> Moved {
        self.refusing.store(true, Ordering::Relaxed);
        let moved = self.step();
        self.refusing.store(false, Ordering::Relaxed);
        moved
    }

    /// One step, while somebody else writes between its snapshot and its commit. What is held still for the step is
    /// written after it.
    ///
    /// # Errors
    /// When the other's write is refused.
    pub fn step_while(&mut self, edit: &Edit) -> Result<Moved, String> {
        let (_, launched) = self.turn();
        if launched.iter().any(|(_, reservation)| reservation.is_some()) {
            return self.commit_before(edit, launched);
        }
        self.edit(edit)?;
        Ok(self.commit(launched, Settling::Heard).unwrap_or(Moved::Stepped))
    }

    /// What is held still for the step is written after it, though it was asked for before.
    fn commit_before(&mut self, edit: &Edit, launched: Vec<Launched>) -> Result<Moved, String> {
        let write = self.prepare(edit)?;
        self.sequencer.submit(write, OTHERS);
        let moved = self.commit(launched, Settling::Heard).unwrap_or(Moved::Stepped);
        while self.sequencer.is_due(self.now) {
            self.answer()?;
        }
        self.hear();
        Ok(moved)
    }

    /// Steps until nothing is left to do, at most `limit` times. `false` where that was not enough.
    pub fn run_to_rest(&mut self, limit: usize) -> bool {
        (0..limit).any(|_| self.step() == Moved::AtRest)
    }

    pub(crate) fn turn(&mut self) -> (Turn, Vec<Launched>) {
        let (turned, launched, effects) = self.turn_with(|driver, dock| driver.turn(dock));
        self.finish(effects);
        (turned, launched)
    }

    /// One turn of the loop, the commits it began, and the effects it would have run.
    pub(crate) fn turn_with(
        &mut self,
        turn: fn(&mut Loop, &mut Dock<'_>) -> Turn,
    ) -> (Turn, Vec<Launched>, Vec<EffectRun>) {
        let before = self.steps_run();
        self.gateway.learn(&self.sequencer.snapshot());
        let mut dock = Dock::new(&mut self.sequencer, self.now);
        let turned = turn(&mut self.driver, &mut dock);
        let Dock { launched, effects, .. } = dock;
        let run = self.steps_run() - before;
        self.steps += run;
        STEPS.set(STEPS.get() + run);
        self.look_at_the_step();
        (turned, launched, effects)
    }

    fn look_at_the_step(&mut self) {
        if let Some(report) = self.driver.last_step()
            && let Some(fault) = &report.fault
        {
            let undeclared = fault.contains("does not declare");
            let property = if undeclared { Property::Declared } else { Property::Soundness };
            let breach = Breach::of(property, format!("{} of {}: {fault}", report.operator, report.key));
            self.breach.get_or_insert(breach);
        }
        if let Some(disabled) = self.driver.disabled().first() {
            let problem = format!("{} of {} panicked: {}", disabled.operator, disabled.object, disabled.reason);
            self.breach.get_or_insert(Breach::of(Property::Soundness, problem));
        }
        self.look_at_the_crossings();
    }

    fn look_at_the_crossings(&mut self) {
        let Some(report) = self.driver.last_step() else { return };
        let crossings = report.crossings.iter().map(|it| (report.operator, it.from, it.to, it.guard));
        let new: Vec<Crossed> = crossings.filter(|crossed| !self.crossed.contains(crossed)).collect();
        let undeclared = new.iter().find_map(|crossed| self.undeclared(*crossed));
        self.crossed.extend(new);
        self.breach = self.breach.take().or(undeclared);
    }

    /// What is wrong with a transition that was taken and that no chart declares.
    fn undeclared(&self, (machine, from, to, guard): Crossed) -> Option<Breach> {
        let mut charts = self.driver.charts().filter(|chart| chart.name == machine);
        let is_declared = charts.any(|chart| chart.edge(from, to, guard).is_some());
        (!is_declared).then(|| {
            let problem = format!("{machine}: {from} → {to} ({guard:?}) was taken and is not declared");
            Breach::of(Property::DeclaredEdges, problem)
        })
    }

    fn steps_run(&self) -> u64 {
        self.driver.figures().map(|(_, figures)| figures.steps).sum()
    }

    /// Commits what a turn began, behind what is queued already. Nothing where nothing was begun.
    fn commit(&mut self, launched: Vec<Launched>, settling: Settling) -> Option<Moved> {
        let mut moved = None;
        for (commit, reservation) in launched {
            let draft = Draft::of(&commit, self.snapshot());
            match reservation {
                Some(reservation) => self.sequencer.submit_reserved(commit.write, STEP, reservation),
                None => self.sequencer.submit(commit.write, STEP),
            }
            let answers = self.sequencer.commit_group(self.now);
            let Some((_, answer)) = answers.into_iter().find(|(ticket, _)| *ticket == STEP) else { continue };
            if settling != Settling::Unheard {
                self.driver.settled(commit.ticket, answer.as_ref(), self.now);
            }
            moved = Some(self.note(draft, answer));
        }
        if settling == Settling::Heard {
            self.hear();
        }
        moved
    }

    fn note(&mut self, draft: Draft, answer: Result<Commit, Refusal>) -> Moved {
        let Ok(commit) = answer else { return Moved::Refused };
        let done = draft.committed(&commit);
        if let Some(breach) = self.trespass(&done) {
            self.breach.get_or_insert(breach);
        }
        self.done.push(done);
        Moved::Committed
    }

    /// An object a step changed or removed although it is somebody else's.
    fn trespass(&self, done: &Done) -> Option<Breach> {
        let changed = done.lasting().filter(|written| written.became != Became::Created);
        let uid = self.uid_of(done);
        let mut foreign = changed.filter(|written| {
            let is_own = |object: &Object| {
                object.metadata().owner_references.iter().any(|owner| Some(&owner.uid) == uid.as_ref())
            };
            let before = written.before.as_deref().unwrap_or(&written.after);
            *before.key() != done.key
                && !is_own(before)
                && !is_own(&written.after)
                && !(self.world.may_touch)(before, &done.key)
        });
        let written = foreign.next()?;
        let problem = format!("{} of {} wrote {}, which it does not own", done.operator, done.key, written.after.key());
        Some(Breach::of(Property::Ownership, problem))
    }

    fn uid_of(&self, done: &Done) -> Option<Uid> {
        let own = done.lasting().find(|written| *written.after.key() == done.key);
        let removed = own.and_then(|written| written.before.clone());
        removed.or_else(|| self.snapshot().get(&done.key).cloned()).map(|primary| primary.metadata().uid.clone())
    }
}

/// Whether the driver hears what became of a commit, and of what it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    /// Of both.
    Heard,
    /// Of what became of it; of what it changed later.
    Late,
    /// Of neither.
    Unheard,
}

/// Others.
impl Cluster<'_> {
    /// Somebody else writes.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn edit(&mut self, edit: &Edit) -> Result<(), String> {
        self.edit_unheard(edit)?;
        self.hear();
        Ok(())
    }

    /// Somebody else writes, and the driver does not hear of it before [`hear`](Self::hear).
    ///
    /// # Errors
    /// Why it is refused.
    pub fn edit_unheard(&mut self, edit: &Edit) -> Result<(), String> {
        let write = self.prepare(edit)?;
        if write.changes.is_empty() {
            return Ok(());
        }
        self.sequencer.submit(write, OTHERS);
        self.answer()
    }

    fn answer(&mut self) -> Result<(), String> {
        let answers = self.sequencer.commit_group(self.now);
        answers.into_iter().try_for_each(|(_, outcome)| outcome.map(drop).map_err(|refusal| refusal.to_string()))
    }

    /// The driver hears of everything it has not heard of.
    pub fn hear(&mut self) {
        let dock = Dock::new(&mut self.sequencer, self.now);
        self.driver.hear(&dock);
    }

    /// The driver hears of everything after `cursor`, though it may have heard of it before.
    pub fn hear_again(&mut self, cursor: Revision) {
        let dock = Dock::new(&mut self.sequencer, self.now);
        self.driver.hear_again(cursor, &dock);
    }

    fn prepare(&mut self, edit: &Edit) -> Result<Write, String> {
        let snapshot = self.snapshot();
        // Forks share a gateway: what it serves is what this one's history defines.
        self.gateway.learn(&snapshot);
        let mutation = self.mutation(edit)?;
        let prepared = self.gateway.prepare(&snapshot, self.now, &mut self.entropy, &mutation);
        Ok(prepared.map_err(|status| status.message)?.write)
    }

    /// The object the world is about, if it exists.
    pub(crate) fn subject(&self) -> Option<Arc<Object>> {
        let key: &ObjectKey = self.world.subject.as_ref()?;
        self.snapshot().get(key).cloned()
    }
}

fn open(disk: &MemoryDisk, world: &World) -> Sequencer<MemoryBackend> {
    let settings =
        Settings { cluster_uid: "conformance".into(), times_to_live: world.times_to_live.clone(), indexing: None };
    Sequencer::open(disk.restart(), settings).expect("a store in memory that was not damaged opens")
}
