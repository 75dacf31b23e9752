//! The shipping gateway, sequencer and driver on a store in memory and on virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::entropy::{Entropy as _, SeededEntropy};
use sampan_core::gateway::{
    Action, Admission, Body, DefaultTolerationSeconds, DeleteOptions, Gateway, Identity, Mutation, NamespaceLifecycle,
    Options, Priority, Subresource, SystemAuthorizer, Target,
};
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Driver, EffectRun, Host, Loop, StepCommit, Turn};
use sampan_core::resource::{Registry, Served, builtin};
use sampan_core::store::{
    MemoryBackend, MemoryDisk, Origin, ReadKey, Reader, ReservationId, Sequencer, Settings, Snapshot, Ticket, Write,
};
use serde_json::{Value, json};

use crate::world::{Edit, World};

/// When every world begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// The ticket of writes that are not steps'.
const OTHERS: Ticket = Ticket(1);

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

/// A cluster that can be forked.
pub struct Cluster<'w> {
    world: &'w World,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) disk: MemoryDisk,
    pub(crate) sequencer: Sequencer<MemoryBackend>,
    /// The loop that ships, with its driver to be looked at.
    pub driver: Loop,
    /// The virtual time.
    pub now: Timestamp,
    pub(crate) entropy: SeededEntropy,
    /// How often each actor has acted.
    pub(crate) acted: Vec<usize>,
    /// Every transition taken since the last look.
    pub(crate) crossed: BTreeSet<Crossed>,
    /// A step that was void, or an operator that panicked.
    pub(crate) fault: Option<String>,
}

impl<'w> Cluster<'w> {
    /// The world as it starts: its objects are there, its operators have just begun.
    ///
    /// # Panics
    /// When the world's own objects are refused.
    pub fn new(world: &'w World) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().chain(world.definitions.iter().cloned()).for_each(|it| registry.register(it));
        let mut admissions = (world.admissions)();
        let always: [Box<dyn Admission>; 3] =
            [Box::new(NamespaceLifecycle), Box::new(Priority), Box::new(DefaultTolerationSeconds)];
        admissions.splice(0..0, always);
        let gateway = Arc::new(Gateway::new(registry, Box::new(SystemAuthorizer), admissions));
        let disk = MemoryDisk::default();
        let sequencer = open(&disk, world);
        let driver = Loop::new(Driver::new(gateway.clone(), Box::new(SeededEntropy::new(world.seed))));
        let mut cluster = Self {
            world,
            gateway,
            disk,
            sequencer,
            driver,
            now: EPOCH,
            entropy: SeededEntropy::new(world.seed),
            acted: vec![0; world.actors.len()],
            crossed: BTreeSet::new(),
            fault: None,
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
        let disk = self.disk.fork();
        let sequencer = open(&disk, self.world);
        Self {
            world: self.world,
            gateway: self.gateway.clone(),
            disk,
            sequencer,
            driver: self.driver.clone(),
            now: self.now,
            entropy: self.entropy.clone(),
            acted: self.acted.clone(),
            crossed: BTreeSet::new(),
            fault: self.fault.clone(),
        }
    }

    pub(crate) fn is_limited(&self, actor: usize) -> bool {
        self.world.actors.get(actor).is_some_and(|actor| actor.times.is_some())
    }

    /// The cluster as it stands.
    pub fn snapshot(&self) -> Snapshot {
        self.sequencer.snapshot()
    }

    /// The process ends and another begins: drivers keep nothing.
    pub fn restart(&mut self) {
        let seed = self.entropy.next_u64();
        let mut driver = Driver::new(self.gateway.clone(), Box::new(SeededEntropy::new(seed)));
        (self.world.operators)(&mut driver);
        self.driver = Loop::new(driver);
        self.hear();
    }

    /// The store is opened again from what was durable, and the process begins anew.
    pub(crate) fn reopen(&mut self) {
        self.sequencer = open(&self.disk, self.world);
        self.restart();
    }

    /// One step of one key, and its commit.
    pub fn step(&mut self) -> Moved {
        match self.turn() {
            (Turn::Idle, _) => Moved::AtRest,
            (_, launched) => self.commit(launched).unwrap_or(Moved::Stepped),
        }
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
        Ok(self.commit(launched).unwrap_or(Moved::Stepped))
    }

    /// What is held still for the step is written after it, though it was asked for before.
    fn commit_before(&mut self, edit: &Edit, launched: Vec<Launched>) -> Result<Moved, String> {
        let write = self.prepare(edit)?;
        self.sequencer.submit(write, OTHERS);
        let moved = self.commit(launched).unwrap_or(Moved::Stepped);
        while self.sequencer.is_due(self.now) {
            self.answer()?;
        }
        self.hear();
        Ok(moved)
    }

    /// One step whose commit is durable, but the process ends before it hears of that.
    pub fn step_and_crash(&mut self) {
        let (_, launched) = self.turn();
        for (commit, _) in launched {
            self.sequencer.submit(commit.write, OTHERS);
            let _ = self.sequencer.commit_group(self.now);
        }
        self.restart();
    }

    /// Time goes on to the next timer. `false` where there is none.
    pub fn advance(&mut self) -> bool {
        let next = self.driver.next_deadline();
        if let Some(at) = next {
            self.now = self.now.max(at);
        }
        next.is_some()
    }

    /// Steps until nothing is left to do, at most `limit` times. `false` where that was not enough.
    pub fn run_to_rest(&mut self, limit: usize) -> bool {
        (0..limit).any(|_| self.step() == Moved::AtRest)
    }

    /// Somebody else writes.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn edit(&mut self, edit: &Edit) -> Result<(), String> {
        let write = self.prepare(edit)?;
        if !write.changes.is_empty() {
            self.submit(write)?;
        }
        Ok(())
    }

    fn prepare(&mut self, edit: &Edit) -> Result<Write, String> {
        let snapshot = self.snapshot();
        // Forks share a gateway: what it serves is what this one's history defines.
        self.gateway.learn(&snapshot);
        let mutation = self.mutation(edit)?;
        let prepared = self.gateway.prepare(&snapshot, self.now, &mut self.entropy, &mutation);
        Ok(prepared.map_err(|status| status.message)?.write)
    }

    /// One turn of the loop, and the commits it began.
    pub(crate) fn turn(&mut self) -> (Turn, Vec<Launched>) {
        self.gateway.learn(&self.sequencer.snapshot());
        let mut dock = Dock::new(&mut self.sequencer, self.now);
        let turn = self.driver.turn(&mut dock);
        let Dock { launched, effects, .. } = dock;
        for effect in effects {
            self.driver.effect_done(effect.ticket, effect.perform(), self.now);
        }
        if let Some(report) = self.driver.last_step() {
            let crossings = report.crossings.iter();
            self.crossed.extend(crossings.map(|it| (report.operator, it.from, it.to, it.guard)));
            if let Some(fault) = &report.fault {
                self.fault = Some(format!("{} on {}: {fault}", report.operator, report.key));
            }
        }
        if let Some(disabled) = self.driver.disabled().first() {
            self.fault = Some(format!("{} on {} panicked: {}", disabled.operator, disabled.object, disabled.reason));
        }
        (turn, launched)
    }

    /// Commits what a turn began, behind what is queued already. Nothing where nothing was begun.
    fn commit(&mut self, launched: Vec<Launched>) -> Option<Moved> {
        let mut moved = None;
        for (commit, reservation) in launched {
            let ticket = Ticket(0);
            match reservation {
                Some(reservation) => self.sequencer.submit_reserved(commit.write, ticket, reservation),
                None => self.sequencer.submit(commit.write, ticket),
            }
            let outcome = self.sequencer.commit_group(self.now).into_iter().find(|(answered, _)| *answered == ticket);
            let Some((_, outcome)) = outcome else { continue };
            self.driver.settled(commit.ticket, outcome.as_ref(), self.now);
            moved = Some(if outcome.is_ok() { Moved::Committed } else { Moved::Refused });
        }
        self.hear();
        moved
    }

    fn submit(&mut self, write: Write) -> Result<(), String> {
        self.sequencer.submit(write, OTHERS);
        let answered = self.answer();
        self.hear();
        answered
    }

    fn answer(&mut self) -> Result<(), String> {
        let answers = self.sequencer.commit_group(self.now);
        answers.into_iter().try_for_each(|(_, outcome)| outcome.map(drop).map_err(|refusal| refusal.to_string()))
    }

    pub(crate) fn hear(&mut self) {
        let dock = Dock::new(&mut self.sequencer, self.now);
        self.driver.hear(&dock);
    }

    fn mutation(&self, edit: &Edit) -> Result<Mutation, String> {
        let (key, subresource, action) = match edit {
            Edit::Create(object) => (None, Subresource::Whole, Action::Create(Body::Value(object.clone()))),
            Edit::Update(object) => {
                (Some(self.key(object)?), Subresource::Whole, Action::Update(Body::Value(object.clone())))
            }
            Edit::UpdateStatus(object) => {
                (Some(self.key(object)?), Subresource::Status, Action::Update(Body::Value(object.clone())))
            }
            Edit::Delete(key) => (Some(key.clone()), Subresource::Whole, Action::Delete(DeleteOptions::default())),
            Edit::Remove(key) => {
                let at_once = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
                (Some(key.clone()), Subresource::Whole, Action::Delete(at_once))
            }
        };
        let (served, namespace) = match (&key, edit) {
            (Some(key), _) => (self.served_at(key)?, key.namespace.clone()),
            (None, Edit::Create(object)) => {
                (self.served_kind(object)?, text(object, "/metadata/namespace").map(Into::into))
            }
            (None, _) => return Err("only a creation has no key".to_owned()),
        };
        let origin = Origin::Request { user: "actor".into(), client: "kit".into(), verb: "write".into() };
        let identity = Identity::new("actor", &["system:masters"]);
        let name = key.map(|key| key.name);
        let target = Target { served, namespace, name, subresource };
        Ok(Mutation { identity, origin, target, action, options: Options::default() })
    }

    fn key(&self, object: &Value) -> Result<ObjectKey, String> {
        let resource = self.served_kind(object)?.definition.resource;
        let name = text(object, "/metadata/name").ok_or("an object has no name")?.into();
        Ok(ObjectKey { resource, namespace: text(object, "/metadata/namespace").map(Into::into), name })
    }

    fn served_kind(&self, object: &Value) -> Result<Served, String> {
        let api_version = text(object, "/apiVersion").unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = text(object, "/kind").unwrap_or_default();
        self.gateway.registry().served_kind(group, version, kind).ok_or(format!("{api_version} {kind} is not served"))
    }

    fn served_at(&self, key: &ObjectKey) -> Result<Served, String> {
        let registry = self.gateway.registry();
        let definition = registry.definition(key.resource).ok_or(format!("{} is not served", key.resource))?;
        let version = definition.versions.first().ok_or("a definition has no version")?.clone();
        Ok(Served { definition: definition.clone(), version })
    }
}

/// A commit the loop began, and what is held still for it.
pub(crate) type Launched = (StepCommit, Option<ReservationId>);

/// What the loop stands on: the sequencer, and a place where commits wait until the world lets them go.
struct Dock<'c> {
    sequencer: &'c mut Sequencer<MemoryBackend>,
    now: Timestamp,
    launched: Vec<Launched>,
    effects: Vec<EffectRun>,
}

impl<'c> Dock<'c> {
    fn new(sequencer: &'c mut Sequencer<MemoryBackend>, now: Timestamp) -> Self {
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
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn open(disk: &MemoryDisk, world: &World) -> Sequencer<MemoryBackend> {
    let settings = Settings { cluster_uid: "conformance".into(), times_to_live: world.times_to_live.clone() };
    Sequencer::open(disk.restart(), settings).expect("a store in memory that was not damaged opens")
}
