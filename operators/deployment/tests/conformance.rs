//! The Deployment operator through drawn histories in small worlds, by seed; and mutants that must not get through.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod walk;
mod worlds;

use std::collections::BTreeSet;

use sampan_core::operator::{Command, Context, Declaration, Operator, Wake};
use sampan_deployment::{DeploymentMachine, DeploymentOperator};
use serde_json::json;

use walk::walk;

/// Histories drawn in each world.
const SEEDS: std::ops::Range<u64> = 0..20;

#[test]
fn every_law_holds_in_every_world_and_only_declared_edges_are_taken() {
    let mut crossed = BTreeSet::new();
    for world in worlds::all(&DeploymentOperator) {
        for seed in SEEDS {
            walk(&world, seed, &mut crossed).unwrap_or_else(|why| panic!("world {}, seed {seed}: {why}", world.name));
        }
    }
    let chart = DeploymentMachine::chart();
    let undeclared: Vec<_> = crossed.iter().filter(|(from, to, guard)| chart.edge(from, to, guard).is_none()).collect();
    assert_eq!(undeclared, Vec::<&walk::Crossed>::new());
    let is_taken = |edge: &&sampan_machine::Edge| {
        crossed.iter().any(|(from, to, guard)| chart.edge(from, to, guard).is_some_and(|taken| taken == *edge))
    };
    let never: Vec<_> = chart.edges.iter().filter(|edge| !is_taken(edge)).collect();
    assert!(never.is_empty(), "never taken: {never:?}");
}

/// The shipping operator, with its commands spoiled.
#[derive(Clone)]
struct Mutant(fn(&mut Vec<Command>));

impl Operator for Mutant {
    type Machine = DeploymentMachine;

    fn chart(&self) -> &'static sampan_machine::Chart {
        DeploymentMachine::chart()
    }

    fn machine(&self) -> DeploymentMachine {
        DeploymentMachine::default()
    }

    fn declaration(&self) -> Declaration {
        DeploymentOperator.declaration()
    }

    fn step(&self, machine: &mut DeploymentMachine, wake: &Wake, cx: &mut Context<'_>) {
        DeploymentOperator.step(machine, wake, cx);
        (self.0)(cx.commands());
    }
}

fn problem_of(mutant: fn(&mut Vec<Command>)) -> String {
    let worlds = worlds::all(&Mutant(mutant));
    let mut walks = worlds.iter().flat_map(|world| SEEDS.map(move |seed| walk(world, seed, &mut BTreeSet::new())));
    walks.find_map(Result::err).expect("the mutant gets through")
}

#[test]
fn a_mutant_that_makes_new_sets_too_large_is_caught() {
    let problem = problem_of(|commands| {
        for command in commands {
            if let Command::Create { object, .. } = command {
                object["spec"]["replicas"] = json!(4);
            }
        }
    });
    assert!(problem.contains("no more pods than replicas and surge"), "{problem}");
}

#[test]
fn a_mutant_that_empties_what_it_should_shrink_is_caught() {
    let problem = problem_of(|commands| {
        for command in commands {
            if let Command::Update { key, object } = command
                && key.resource == worlds::REPLICA_SETS
                && object["spec"]["replicas"] == 1
            {
                object["spec"]["replicas"] = json!(0);
            }
        }
    });
    assert!(!problem.is_empty());
}

#[test]
fn a_mutant_that_forgets_the_status_is_caught() {
    let problem = problem_of(|commands| commands.retain(|command| !matches!(command, Command::UpdateStatus { .. })));
    assert!(problem.contains("status"), "{problem}");
}
