//! A world of ConfigMaps, and operators that do what a test says.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use sampan_machine::{ANY, Chart, Edge, Machine, State, UNOBSERVED};
use serde_json::json;

use super::super::{
    Context, Declaration, Driver, EffectRun, Host, Kind, Loop, Operator, StepCommit, StepQuestions, Turn, Wake,
    WriteVerb,
};
use crate::entropy::SeededEntropy;
use crate::gateway::{
    Action, Body, Call, DeleteOptions, Gateway, Identity, Mutation, NamespaceLifecycle, Options, Reply, Subresource,
    SystemAuthorizer, Target,
};
use crate::object::{ObjectKey, ResourceType};
use crate::resource::{Registry, Scope, builtin};
use crate::store::{
    Commit, MemoryBackend, MemoryDisk, Origin, ReadKey, Reader, Refusal, ReservationId, Sequencer, Settings, Snapshot,
    Ticket,
};

const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");
const WEBHOOKS: ResourceType = ResourceType::new("admissionregistration.k8s.io", "mutatingwebhookconfigurations");

static CHART: Chart = Chart {
    name: "scripted",
    states: &[State { name: "Seen", meaning: "It was looked at." }],
    edges: &[Edge { from: UNOBSERVED, to: ANY, guard: "first observation" }],
};

/// A machine that is `Seen` once it was stepped.
#[derive(Clone, Default)]
pub(super) struct Lamp(bool);

impl Machine for Lamp {
    fn state(&self) -> &'static str {
        if self.0 { "Seen" } else { UNOBSERVED }
    }
}

type Script = dyn Fn(&Wake, &mut Context<'_>) + Send + Sync;

/// An operator of ConfigMaps that does what it is told.
pub(super) struct Scripted {
    declaration: Declaration,
    script: Arc<Script>,
}

impl Scripted {
    pub(super) fn new(name: &'static str, script: impl Fn(&Wake, &mut Context<'_>) + Send + Sync + 'static) -> Self {
        let declaration = Declaration::of::<ConfigMap>(name)
            .writing::<ConfigMap>(WriteVerb::Create)
            .writing::<ConfigMap>(WriteVerb::Update);
        Self { declaration, script: Arc::new(script) }
    }

    pub(super) fn declaring(mut self, declare: impl FnOnce(Declaration) -> Declaration) -> Self {
        self.declaration = declare(self.declaration);
        self
    }
}

impl Operator for Scripted {
    type Machine = Lamp;

    fn chart(&self) -> &'static Chart {
        &CHART
    }

    fn machine(&self) -> Lamp {
        Lamp::default()
    }

    fn declaration(&self) -> Declaration {
        self.declaration.clone()
    }

    fn step(&self, machine: &mut Lamp, wake: &Wake, cx: &mut Context<'_>) {
        (self.script)(wake, cx);
        machine.0 = true;
    }
}

/// A commit the loop began, and what is held still for it.
pub(super) type Launched = (StepCommit, Option<ReservationId>);

/// The shipping loop, gateway and sequencer on a disk in memory.
pub(super) struct World {
    pub(super) disk: MemoryDisk,
    pub(super) sequencer: Sequencer<MemoryBackend>,
    pub(super) operators: Loop,
    pub(super) now: Timestamp,
    gateway: Arc<Gateway>,
    entropy: SeededEntropy,
    /// What was asked to be held still, each time.
    pub(super) reserved: Vec<Vec<ReadKey>>,
    /// Effects handed out and not run yet.
    pub(super) effects: Vec<EffectRun>,
    /// Questions to webhooks not replied to yet.
    pub(super) questions: Vec<StepQuestions>,
}

impl World {
    pub(super) fn new(add: impl FnOnce(&mut Driver)) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let gateway = Gateway::new(registry, Box::new(SystemAuthorizer), vec![Box::new(NamespaceLifecycle)]);
        let gateway = Arc::new(gateway);
        let disk = MemoryDisk::default();
        let sequencer = open(&disk);
        let operators = Loop::new(driver(&gateway, add));
        let now = Timestamp::from_second(1_767_225_600).unwrap();
        let entropy = SeededEntropy::new(2);
        let mut world = Self {
            disk,
            sequencer,
            operators,
            now,
            gateway,
            entropy,
            reserved: Vec::new(),
            effects: Vec::new(),
            questions: Vec::new(),
        };
        world.create_namespace("default");
        world
    }

    /// A world without operators that holds one ConfigMap.
    pub(super) fn with_object(name: &str) -> Self {
        let mut world = Self::new(|_| {});
        world.put(name, "new");
        world
    }

    pub(super) fn create_namespace(&mut self, name: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.act(NAMESPACES, None, Action::Create(Body::Value(namespace)));
    }

    /// Has a webhook asked whenever a ConfigMap is created.
    pub(super) fn configure_webhook(&mut self) {
        let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["configmaps"], "scope": "*"});
        let webhook = json!({"name": "guard.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "rules": [rule], "clientConfig": {"url": "https://guard"}});
        let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration", "metadata": {"name": "guard"}, "webhooks": [webhook]});
        self.act(WEBHOOKS, None, Action::Create(Body::Value(configuration)));
    }

    /// Tells the operators what webhooks reply to all their questions.
    pub(super) fn reply(&mut self, reply: impl Fn(&serde_json::Value) -> Reply) {
        for StepQuestions { operator, key, calls } in std::mem::take(&mut self.questions) {
            let replied = |call: Call| {
                let review = serde_json::from_slice(&call.body).unwrap();
                (call, reply(&review))
            };
            let replies = calls.into_iter().map(replied).collect();
            self.operators.replied(operator, &key, replies, self.now);
        }
    }

    /// The process ends and another begins on what the disk kept.
    pub(super) fn restart(&mut self, add: impl FnOnce(&mut Driver)) {
        self.sequencer = open(&self.disk);
        self.operators = Loop::new(driver(&self.gateway, add));
        self.effects.clear();
    }

    pub(super) fn gateway(&self) -> Arc<Gateway> {
        self.gateway.clone()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.sequencer.snapshot()
    }

    /// Writes a ConfigMap as somebody else would: new, or another value of an old one.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        let exists = self.snapshot().get(&key(name)).is_some();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
            "data": {"k": value}});
        let body = Body::Value(map);
        match exists {
            true => self.act(ConfigMap::RESOURCE, Some(name), Action::Update(body)),
            false => self.act(ConfigMap::RESOURCE, None, Action::Create(body)),
        }
    }

    pub(super) fn delete(&mut self, resource: ResourceType, name: &str) {
        self.act(resource, Some(name), Action::Delete(DeleteOptions::default()));
    }

    fn act(&mut self, resource: ResourceType, name: Option<&str>, action: Action) {
        let registry = self.gateway.registry();
        let definition = registry.definition(resource).unwrap();
        let version = &definition.versions[0];
        let served = registry.served_kind(version.group, version.version, &definition.kind).unwrap();
        let namespace = (definition.scope == Scope::Namespaced).then(|| "default".into());
        let target = Target { served, namespace, name: name.map(Into::into), subresource: Subresource::Whole };
        let identity = Identity::new("somebody", &["system:masters"]);
        let origin = Origin::Request { user: "somebody".into(), client: "test".into(), verb: "write".into() };
        let mutation = Mutation { identity, origin, target, action, options: Options::default() };
        let snapshot = self.snapshot();
        let prepared = self.gateway.prepare(&snapshot, self.now, &mut self.entropy, &mutation).unwrap();
        self.sequencer.submit(prepared.write, Ticket(0));
        for (_, outcome) in self.sequencer.commit_group(self.now) {
            outcome.unwrap();
        }
    }

    /// One turn, and the commits it began.
    pub(super) fn turn(&mut self) -> (Turn, Vec<Launched>) {
        let mut dock = Dock::new(&mut self.sequencer, self.now, &mut self.reserved);
        let turn = self.operators.turn(&mut dock);
        let Dock { launched, effects, questions, .. } = dock;
        self.effects.extend(effects);
        self.questions.extend(questions);
        (turn, launched)
    }

    /// Decides commits, and tells of it.
    pub(super) fn settle(&mut self, launched: Vec<Launched>) -> Vec<Result<Commit, Refusal>> {
        let mut outcomes = Vec::new();
        for (commit, reservation) in launched {
            match reservation {
                Some(reservation) => self.sequencer.submit_reserved(commit.write, Ticket(1), reservation),
                None => self.sequencer.submit(commit.write, Ticket(1)),
            }
            let answers = self.sequencer.commit_group(self.now);
            for (_, outcome) in answers.into_iter().filter(|(ticket, _)| *ticket == Ticket(1)) {
                self.operators.settled(commit.ticket, outcome.as_ref(), self.now);
                outcomes.push(outcome);
            }
        }
        outcomes
    }

    /// Turns and settles until nothing is left to do.
    pub(super) fn run_to_rest(&mut self) {
        for _ in 0..10_000 {
            let (turn, launched) = self.turn();
            if turn == Turn::Idle {
                return;
            }
            self.settle(launched);
        }
        panic!("the operators do not come to rest");
    }

    /// Runs the effects handed out, and tells what came of them.
    pub(super) fn run_effects(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            self.operators.effect_done(effect.ticket, effect.perform());
        }
    }

    pub(super) fn hear(&mut self) {
        let dock = Dock::new(&mut self.sequencer, self.now, &mut self.reserved);
        self.operators.hear(&dock);
    }

    pub(super) fn install(&mut self, operator: Scripted) {
        let dock = Dock::new(&mut self.sequencer, self.now, &mut self.reserved);
        self.operators.install(operator, &dock);
    }

    /// The values of the maps there are, by name.
    pub(super) fn values(&self) -> Vec<(String, String)> {
        let snapshot = self.snapshot();
        let maps = snapshot.list(ConfigMap::RESOURCE, None, None);
        let text = |object: &crate::object::Object| object.value()["data"]["k"].as_str().unwrap_or_default().to_owned();
        maps.map(|object| (object.key().name.to_string(), text(object))).collect()
    }
}

pub(super) fn driver(gateway: &Arc<Gateway>, add: impl FnOnce(&mut Driver)) -> Driver {
    let mut driver = Driver::new(gateway.clone(), Box::new(SeededEntropy::new(1)));
    add(&mut driver);
    driver
}

fn open(disk: &MemoryDisk) -> Sequencer<MemoryBackend> {
    let settings = Settings { cluster_uid: "cluster".to_owned(), ..Settings::default() };
    Sequencer::open(disk.restart(), settings).unwrap()
}

pub(super) fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(ConfigMap::RESOURCE, "default", name)
}

/// What the loop stands on.
struct Dock<'w> {
    sequencer: &'w mut Sequencer<MemoryBackend>,
    now: Timestamp,
    reserved: &'w mut Vec<Vec<ReadKey>>,
    launched: Vec<Launched>,
    effects: Vec<EffectRun>,
    questions: Vec<StepQuestions>,
}

impl<'w> Dock<'w> {
    fn new(sequencer: &'w mut Sequencer<MemoryBackend>, now: Timestamp, reserved: &'w mut Vec<Vec<ReadKey>>) -> Self {
        Self { sequencer, now, reserved, launched: Vec::new(), effects: Vec::new(), questions: Vec::new() }
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
        let reservation = self.sequencer.reserve(&reads, self.now);
        self.reserved.push(reads);
        reservation
    }

    fn release(&mut self, reservation: ReservationId) {
        self.sequencer.release(reservation);
    }

    fn run(&mut self, effect: EffectRun) {
        self.effects.push(effect);
    }

    fn ask(&mut self, questions: StepQuestions) {
        self.questions.push(questions);
    }
}
