//! The Deployment operator under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Mutant, Plan};
use sampan_core::operator::Command;
use sampan_deployment::DeploymentOperator;
use sampan_deployment::conformance::{suite, suite_of};
use serde_json::json;

#[test]
fn every_property_holds() {
    // Its worlds are many and large: `make conformance` draws more.
    let outcome = suite().run(&Plan::small().with_seeds(0..6), &|_, _| ());
    println!("{outcome}");
    assert!(outcome.failures.is_empty(), "{outcome}");
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(DeploymentOperator, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_makes_new_sets_too_large_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Create { object, .. } = command {
                object["spec"]["replicas"] = json!(4);
            }
        }
    };
    let problem = problem_of(mutant, "surging");
    assert!(problem.contains("no more pods than replicas and surge"), "{problem}");
}

#[test]
fn a_mutant_that_empties_what_it_should_shrink_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Update { key, object } = command
                && key.resource.plural == "replicasets"
                && object["spec"]["replicas"] == 1
            {
                object["spec"]["replicas"] = json!(0);
            }
        }
    };
    assert!(!problem_of(mutant, "thrifty").is_empty());
}

#[test]
fn a_mutant_that_forgets_the_status_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    let problem = problem_of(mutant, "surging");
    assert!(problem.contains("status"), "{problem}");
}
