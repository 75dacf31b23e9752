//! The whole system in one thread: the real gateway, sequencer, operators and node agents, on virtual time.
//!
//! Users apply, scale, roll, pause, undo and delete workloads and Services at random, and play scenarios beside that; the server crashes at its commits, nodes lose power and are cut
//! off, clocks jump, containers, images and probes fail. Laws are judged at every revision, and when nobody disturbs the
//! cluster any more it must come to rest with every workload complete. One seed is one run, byte for byte.
//!
//! This crate knows the core alone. What runs pods plugs in as a [`Node`], which operators there are is the caller's.

mod agenda;
mod clients;
mod completion;
mod dice;
mod faults;
mod kinds;
mod laws;
mod ledger;
mod node;
mod report;
mod rest;
mod roles;
mod run;
mod scenarios;
mod server;
mod site;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sampan_core::gateway::Admission;
use sampan_core::operator::Driver;
use sampan_core::resource::{ResourceDefinition, builtin};
use sampan_machine::{Chart, Crossing};
use serde_json::json;

pub use self::clients::BROKEN_IMAGE;
pub use self::dice::Dice;
pub use self::kinds::{FAILING_IMAGE, TASK_IMAGE};
pub use self::node::{Mishap, News, Node, Reply, Request, Want};
pub use self::report::Report;
use crate::world::World;

/// The namespaces every cluster begins with, beside `default`.
const NAMESPACES: [&str; 2] = ["kube-system", "kube-node-lease"];

/// What is simulated.
pub struct Setup {
    /// What is served, beside what Sampan always serves.
    pub definitions: Vec<ResourceDefinition>,
    /// Rules of admission.
    pub admissions: fn() -> Vec<Box<dyn Admission>>,
    /// Adds the operators.
    pub operators: fn(&mut Driver),
    /// Makes a node: its name, its seed, the time.
    pub node: fn(&str, u64, Timestamp) -> Box<dyn Node>,
}

/// One course of things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// All chance comes from it.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// For how long the cluster is disturbed.
    pub lasting: SignedDuration,
    /// Faults and wishes that are left out, by their names.
    pub without: BTreeSet<String>,
}

impl Course {
    fn is_without(&self, what: &str) -> bool {
        self.without.contains(what)
    }
}

/// What became of a course.
#[derive(Debug, Clone)]
pub struct Run {
    /// The course.
    pub course: Course,
    /// The same for the same history, byte for byte.
    pub hash: u64,
    /// How much virtual time passed.
    pub simulated: SignedDuration,
    /// Operator steps.
    pub steps: u64,
    /// Steps that were committed.
    pub commits: u64,
    /// Changes of the store.
    pub revisions: u64,
    /// How often each fault fired and each wish was made.
    pub counts: BTreeMap<&'static str, u64>,
    /// How often each machine took each transition.
    pub crossings: BTreeMap<(&'static str, Crossing), u64>,
    /// The charts of the machines.
    pub charts: Vec<&'static Chart>,
    /// The law that was broken, if one was.
    pub violation: Option<Violation>,
    /// What users and faults did, and everything that happened last.
    pub story: Vec<String>,
}

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The law.
    pub law: String,
    /// By what.
    pub detail: String,
    /// When, after the beginning.
    pub at: SignedDuration,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} (after {} s)", self.law, self.detail, self.at.as_secs())
    }
}

/// Runs one course.
pub fn simulate(setup: &Setup, course: &Course) -> Run {
    let world = world(setup, course);
    run::Simulation::new(setup, course, &world).run()
}

/// The fewest disturbances found that still break the same law, and what became of that course.
pub fn shortened(setup: &Setup, found: &Run) -> Run {
    let Some(violation) = &found.violation else { return found.clone() };
    let breaks = |run: &Run| run.violation.as_ref().is_some_and(|other| other.law == violation.law);
    let mut shortest = found.clone();
    for what in found.counts.keys() {
        let mut course = shortest.course.clone();
        course.without.insert((*what).to_owned());
        let run = simulate(setup, &course);
        if breaks(&run) {
            shortest = run;
        }
    }
    shortest
}

fn world(setup: &Setup, course: &Course) -> World {
    let operators = setup.operators;
    let mut world = World::new("simulation", operators);
    world.definitions.clone_from(&setup.definitions);
    world.admissions = setup.admissions;
    world.seed = course.seed;
    let mortal = builtin().into_iter().filter_map(|definition| Some((definition.resource, definition.ttl_seconds?)));
    world.times_to_live =
        mortal.map(|(resource, seconds)| (resource, std::time::Duration::from_secs(seconds.into()))).collect();
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    world.initial = NAMESPACES.iter().map(|name| namespace(name)).collect();
    world
}
