//! The pod machine against all small worlds: declared edges are the observed ones, a restarted node is where it was, and
//! every pod that can come up does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use sampan_machine::ANY;
use sampan_nodeagent::pod::backoff::Setback;
use sampan_nodeagent::pod::machine::{CHART, PodMachine};
use sampan_nodeagent::pod::probe::ProbeKind;
use sampan_nodeagent::pod::resize::Bounds;
use sampan_nodeagent::pod::source::{Sources, referenced};
use sampan_nodeagent::pod::{
    Command, ContainerRecord, Exit, NodeFacts, Operation, RunState, Sandbox, Scene, Situation,
};
use serde_json::{Value, json};

/// Worlds looked at before the search gives up.
const MOST_WORLDS: usize = 60_000;
/// How deep worlds are searched.
const DEPTH: usize = 12;

#[derive(Clone)]
struct World {
    situation: Situation,
    sources: Sources,
    machine: PodMachine,
    now: Timestamp,
    faults: u32,
    /// What each container was last told to have.
    bounds: BTreeMap<String, Bounds>,
    /// What each container was last started from.
    images: BTreeMap<String, String>,
}

fn node() -> NodeFacts {
    NodeFacts {
        name: "one".to_owned(),
        host_ip: "10.0.0.1".to_owned(),
        allocatable_milli_cpu: 2000,
        allocatable_memory: 1 << 30,
        volumes: "/volumes".into(),
    }
}

fn pod(spec: Value) -> Arc<Pod> {
    let more = json!({"requests": {"cpu": "2"}}).to_string();
    let resizable = spec.pointer("/containers/0/resources").is_some();
    let redefined = spec["containers"][0]["image"] == "i:0";
    let annotations = match (resizable, redefined) {
        (true, _) => json!({"resources": more}),
        (_, true) => json!({"image": "i:1"}),
        _ => json!({}),
    };
    let metadata = json!({"name": "web", "namespace": "default", "uid": "u", "annotations": annotations});
    let pod = json!({"metadata": metadata, "spec": spec});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn world(spec: Value) -> World {
    World {
        situation: Situation::new(pod(spec)),
        sources: Sources::default(),
        machine: PodMachine::default(),
        now: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1),
        faults: 0,
        bounds: BTreeMap::new(),
        images: BTreeMap::new(),
    }
}

impl World {
    /// Whatever the pod refers to is there, and holds nothing.
    fn look_up_sources(&mut self) {
        for key in referenced(&self.situation.pod) {
            self.sources.observe(key, Some(Arc::default()));
        }
    }

    /// What tells two worlds apart, times aside.
    fn digest(&self) -> String {
        let s = &self.situation;
        let runs: Vec<String> = s
            .records()
            .map(|run| {
                let what = match &run.state {
                    RunState::Created => "created".to_owned(),
                    RunState::Running => "running".to_owned(),
                    RunState::Exited(exit) => format!("exited {}", exit.code),
                };
                let (attempt, sandbox) = (run.attempt.min(3), run.sandbox_attempt);
                format!("{} {} {what} {attempt} {sandbox} {:?}", run.name, run.image, run.bounds)
            })
            .collect();
        let sandbox = s.sandbox.as_ref().map(|sandbox| (sandbox.attempt, sandbox.running));
        let setbacks: Vec<_> =
            s.setbacks.iter().map(|(op, setback)| (op.clone(), setback.until() > self.now)).collect();
        let ready: Vec<bool> = s
            .spec()
            .containers
            .iter()
            .map(|container| s.latest(&container.name).is_some_and(|run| s.probes.ready(container, &run.id)))
            .collect();
        format!(
            "{} {:?} {:?} {runs:?} {sandbox:?} {setbacks:?} {:?} {:?} {:?} {ready:?} {} {} {:?} {}",
            self.machine.state(),
            s.spec().containers.first().map(|container| &container.image),
            s.under_way,
            s.images,
            s.volumes.is_some(),
            s.pod.metadata.deletion_timestamp.is_some(),
            s.gone,
            s.swept,
            s.status().phase,
            self.faults
        )
    }

    fn scene(&self, node: &NodeFacts, look: impl FnOnce(Scene<'_>)) {
        look(Scene { situation: &self.situation, sources: &self.sources, node, now: self.now });
    }

    /// One step; what it told the runtime is under way after it.
    fn step(&mut self, edges: &mut BTreeSet<(String, String, String)>) {
        let node = node();
        let scene = Scene { situation: &self.situation, sources: &self.sources, node: &node, now: self.now };
        let (_, step) = self.machine.step(scene);
        for crossing in step.trace.crossings() {
            edges.insert((crossing.from.to_owned(), crossing.to.to_owned(), crossing.guard.to_owned()));
        }
        let mut fresh = PodMachine::default();
        self.scene(&node, |scene| {
            fresh.step(scene);
        });
        assert_eq!(fresh.state(), self.machine.state(), "a fresh machine classifies as the old one: {}", self.digest());
        for command in step.commands {
            let operation = command.operation();
            assert!(self.situation.under_way.insert(operation.clone()), "{operation:?} is not begun twice");
            self.remember(command);
        }
    }

    /// What the runtime needs to answer a command later.
    fn remember(&mut self, command: Command) {
        if let Command::ResizeContainer { container, bounds, .. } = &command {
            self.bounds.insert(container.clone(), *bounds);
        }
        if let Command::StartContainer(spec) = command {
            self.bounds.insert(spec.name.clone(), spec.bounds);
            self.images.insert(spec.name.clone(), spec.image.clone());
            self.situation.images.insert(format!("#{}", spec.name), spec.attempt);
            self.situation.images.insert(format!("#s{}", spec.name), spec.sandbox_attempt);
            self.situation.images.insert(format!("#b{}", spec.name), spec.backoff_seconds);
        }
    }

    fn run_of(&self, name: &str, state: RunState) -> ContainerRecord {
        let number = |prefix: &str| self.situation.images.get(&format!("{prefix}{name}")).copied().unwrap_or(0);
        ContainerRecord {
            id: format!("{name}-{}", number("#")),
            name: name.to_owned(),
            attempt: number("#"),
            sandbox_attempt: number("#s"),
            backoff_seconds: number("#b"),
            image: self.images.get(name).cloned().unwrap_or_default(),
            image_id: String::new(),
            bounds: self.bounds.get(name).copied().unwrap_or_default(),
            started_at: Some(self.now),
            state,
        }
    }

    fn exit(&self, code: i32) -> RunState {
        RunState::Exited(Exit::of(code, self.now))
    }

    fn succeed(&self, operation: &Operation) -> Self {
        let mut next = self.clone();
        next.situation.under_way.remove(operation);
        next.situation.setbacks.remove(operation);
        match operation {
            Operation::Volumes => {
                let node = node();
                let mut digest = None;
                next.scene(&node, |scene| {
                    digest = sampan_nodeagent::pod::volume::plan(&scene)
                        .ok()
                        .map(|plan| sampan_nodeagent::pod::volume::digest(&plan));
                });
                next.situation.volumes = digest;
            }
            Operation::Sandbox => {
                let node = node();
                let mut attempt = 0;
                next.scene(&node, |scene| attempt = sampan_nodeagent::pod::standing::sandbox_attempt(&scene));
                let address = Some("10.1.0.2".to_owned());
                next.situation.sandbox = Some(Sandbox { id: format!("s{attempt}"), attempt, running: true, address });
            }
            Operation::Image { .. } if self.situation.is_outdated(operation) => {}
            Operation::Image { container: name, .. } => {
                let attempt = self.situation.latest(name).map_or(0, |run| run.attempt + 1);
                next.situation.images.insert(name.clone(), attempt);
            }
            Operation::Start(name) => {
                next.situation.images.remove(name);
                let run = next.run_of(name, RunState::Running);
                next.situation.observe(run);
            }
            Operation::Stop(name) | Operation::Kill(name) => {
                if let Some(run) = self.situation.latest(name).filter(|run| run.is_running()) {
                    let RunState::Exited(exit) = self.exit(143) else { unreachable!() };
                    let id = run.id.clone();
                    next.situation.conclude(name, &id, exit);
                }
            }
            Operation::Resize(name) => {
                if let (Some(run), Some(bounds)) = (self.situation.latest(name), self.bounds.get(name)) {
                    next.situation.resize(name, &run.id, *bounds);
                }
            }
            Operation::Remove(id) => next.situation.forget(id),
            Operation::StopSandbox => {
                if let Some(sandbox) = &mut next.situation.sandbox {
                    sandbox.running = false;
                }
            }
            Operation::Clear => next.situation.swept = true,
        }
        next
    }

    fn fail(&self, operation: &Operation) -> Self {
        let mut next = self.clone();
        next.faults += 1;
        next.situation.under_way.remove(operation);
        let earlier = self.situation.setbacks.get(operation);
        let setback = Setback::after(earlier, "Err".to_owned(), "no".to_owned(), self.now, Setback::OTHER);
        next.situation.setbacks.insert(operation.clone(), setback);
        next
    }

    /// The world in which the pod is granted what its containers say they would rather have, once.
    fn resized(&self) -> Option<Self> {
        let mut pod = (*self.situation.pod).clone();
        let mut more = pod.metadata.annotations.take()?;
        let more = serde_json::from_str(&more.remove("resources")?).unwrap();
        pod.spec.as_mut()?.containers.first_mut()?.resources = Some(more);
        let mut next = self.clone();
        next.situation.pod = Arc::new(pod);
        Some(next)
    }

    /// The world in which the pod's container names the image it would rather have, once.
    fn redefined(&self) -> Option<Self> {
        let mut pod = (*self.situation.pod).clone();
        let image = pod.metadata.annotations.take()?.remove("image")?;
        pod.spec.as_mut()?.containers.first_mut()?.image = Some(image);
        let mut next = self.clone();
        next.situation.take(Arc::new(pod));
        Some(next)
    }

    /// Everything that may happen next.
    fn futures(&self) -> Vec<Self> {
        let mut list = Vec::new();
        for operation in &self.situation.under_way {
            list.push(self.succeed(operation));
            if self.faults < 2 {
                list.push(self.fail(operation));
            }
        }
        for run in self.situation.records().filter(|run| run.is_running()) {
            for code in [0, 1] {
                let mut next = self.clone();
                next.faults += u32::from(code != 0);
                if next.faults <= 2 {
                    let RunState::Exited(exit) = self.exit(code) else { unreachable!() };
                    next.situation.conclude(&run.name, &run.id, exit);
                    list.push(next);
                }
            }
            let Some(container) = self.situation.container(&run.name) else { continue };
            if ProbeKind::Readiness.of(container).is_some() {
                for succeeded in [true, false] {
                    let mut next = self.clone();
                    let situation = next.situation.clone();
                    next.situation.probes.due(&situation, self.now);
                    next.situation.probes.record(container, ProbeKind::Readiness, &run.id, succeeded);
                    list.push(next);
                }
            }
        }
        if let Some(sandbox) = self.situation.sandbox.as_ref().filter(|sandbox| sandbox.running && self.faults == 0) {
            let mut next = self.clone();
            next.faults += 1;
            next.situation.sandbox = Some(Sandbox { running: false, ..sandbox.clone() });
            list.push(next);
        }
        let mut told = self.clone();
        told.look_up_sources();
        list.push(told);
        list.extend(self.resized());
        list.extend(self.redefined());
        let mut later = self.clone();
        later.now += SignedDuration::from_secs(400);
        list.push(later);
        if !self.situation.is_terminating() {
            let mut deleted = self.clone();
            let mut pod = (*self.situation.pod).clone();
            pod.metadata.deletion_timestamp = Some(sampan_nodeagent::pod::moment::time(self.now));
            deleted.situation.pod = Arc::new(pod);
            list.push(deleted);
        }
        list
    }
}

fn specs() -> Vec<Value> {
    vec![
        json!({"containers": [{"name": "a", "image": "i:1"}]}),
        json!({"containers": [{"name": "a", "image": "i:0"}]}),
        json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i:1"}]}),
        json!({"restartPolicy": "OnFailure", "initContainers": [{"name": "i", "image": "i:1"}],
               "containers": [{"name": "a", "image": "i:1", "readinessProbe": {"exec": {"command": ["x"]}, "failureThreshold": 1}}]}),
        json!({"containers": [{"name": "a", "image": "i:1", "resources": {"requests": {"cpu": "1"}}}]}),
        json!({"containers": [{"name": "a", "image": "i:1", "resources": {"requests": {"cpu": "1"}},
               "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}]}),
        json!({"volumes": [{"name": "v", "configMap": {"name": "m"}}],
               "containers": [{"name": "a", "image": "i:1", "readinessProbe": {"exec": {"command": ["x"]}, "failureThreshold": 1}}]}),
    ]
}

/// Searches the worlds of one pod breadth first; the edges crossed and the number of worlds.
fn explore(spec: Value) -> (BTreeSet<(String, String, String)>, usize) {
    let mut edges = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut front = vec![world(spec)];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for mut world in front {
            world.step(&mut edges);
            if seen.insert(world.digest()) && seen.len() < MOST_WORLDS {
                next.extend(world.futures());
            }
        }
        front = next;
    }
    (edges, seen.len())
}

#[test]
fn the_declared_edges_are_those_that_small_worlds_cross() {
    CHART.check().unwrap();
    let mut crossed = BTreeSet::new();
    for spec in specs() {
        let (edges, worlds) = explore(spec);
        println!("{worlds} worlds, {} edges", edges.len());
        crossed.extend(edges);
    }
    let undeclared: Vec<_> = crossed.iter().filter(|(from, to, guard)| CHART.edge(from, to, guard).is_none()).collect();
    assert!(undeclared.is_empty(), "crossed and not declared: {undeclared:#?}");
    let fits = |declared: &str, seen: &str| declared == ANY || declared == seen;
    let idle: Vec<_> = CHART
        .edges
        .iter()
        .filter(|edge| {
            !crossed.iter().any(|(from, to, guard)| edge.guard == guard && fits(edge.from, from) && fits(edge.to, to))
        })
        .collect();
    assert!(idle.is_empty(), "declared and never crossed: {idle:#?}");
    let reached: BTreeSet<&str> = crossed.iter().map(|(_, to, _)| to.as_str()).collect();
    let states: BTreeSet<&str> = CHART.states.iter().map(|state| state.name).collect();
    assert_eq!(reached, states, "every state is reached, and none else");
}

#[test]
fn the_machines_documentation_holds_its_table() {
    let source = include_str!("../src/pod/machine.rs");
    for line in CHART.table().lines() {
        assert!(source.contains(&format!("//! {line}\n")), "missing: //! {line}");
    }
}

#[test]
fn a_container_gets_what_was_granted_while_it_runs_or_when_it_starts_again() {
    let check = |policy: &str, expect: &[&str], runs: usize| {
        let mut world = world(json!({"containers": [{"name": "a", "image": "i:1",
            "resources": {"requests": {"cpu": "1"}}, "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]}]}));
        let mut told = Vec::new();
        let mut settle = |world: &mut World| {
            for _ in 0..40 {
                world.look_up_sources();
                world.step(&mut BTreeSet::new());
                let Some(operation) = world.situation.under_way.first().cloned() else { continue };
                told.push(operation.clone());
                *world = world.succeed(&operation);
            }
        };
        settle(&mut world);
        world = world.resized().unwrap();
        settle(&mut world);
        let run = world.situation.latest("a").unwrap();
        assert_eq!((run.bounds.cpu_shares, run.is_running()), (2048, true), "{policy}");
        assert_eq!(world.situation.records().count(), runs, "{policy}");
        let names = told.iter().map(|operation| format!("{operation:?}")).collect::<Vec<_>>();
        assert_eq!(names.get(names.len() - expect.len()..).unwrap(), expect, "{policy}");
    };
    check("NotRequired", &["Resize(\"a\")"], 1);
    check("RestartContainer", &["Stop(\"a\")", "Image { container: \"a\", image: \"i:1\" }", "Start(\"a\")"], 2);
}

#[test]
fn a_container_that_names_another_image_is_stopped_and_started_from_that() {
    let mut world = world(json!({"containers": [{"name": "a", "image": "i:0"}]}));
    let mut told = Vec::new();
    for round in 0..60 {
        world.look_up_sources();
        world.step(&mut BTreeSet::new());
        if round == 30 {
            world = world.redefined().unwrap();
            told.clear();
        }
        let Some(operation) = world.situation.under_way.first().cloned() else { continue };
        told.push(format!("{operation:?}"));
        world = world.succeed(&operation);
    }
    assert_eq!(told, ["Stop(\"a\")", "Image { container: \"a\", image: \"i:1\" }", "Start(\"a\")"]);
    let runs: Vec<_> = world.situation.records().map(|run| (&*run.image, run.attempt, run.is_running())).collect();
    assert_eq!(runs, [("i:0", 0, false), ("i:1", 1, true)]);
}

#[test]
fn a_pod_whose_runtime_obeys_comes_up_and_a_deleted_one_goes() {
    for spec in specs() {
        let mut edges = BTreeSet::new();
        let mut world = world(spec.clone());
        for _ in 0..60 {
            world.step(&mut edges);
            if let Some(operation) = world.situation.under_way.first().cloned() {
                world = world.succeed(&operation);
                continue;
            }
            let inits: Vec<_> =
                world.situation.init_containers().iter().map(|container| container.name.clone()).collect();
            let init = world.situation.records().find(|run| run.is_running() && inits.contains(&run.name)).cloned();
            if let Some(run) = init {
                let RunState::Exited(exit) = world.exit(0) else { unreachable!() };
                world.situation.conclude(&run.name, &run.id, exit);
            }
            world.look_up_sources();
        }
        assert!(matches!(world.machine.state(), "Ready" | "Running"), "{spec}: {}", world.digest());
        let mut pod = (*world.situation.pod).clone();
        pod.metadata.deletion_timestamp = Some(sampan_nodeagent::pod::moment::time(world.now));
        world.situation.pod = Arc::new(pod);
        for _ in 0..20 {
            world.step(&mut edges);
            if let Some(operation) = world.situation.under_way.first().cloned() {
                world = world.succeed(&operation);
            }
        }
        assert_eq!(world.machine.state(), "Removed", "{spec}");
    }
}
