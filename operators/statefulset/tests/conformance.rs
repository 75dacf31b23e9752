//! The StatefulSet operator under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_statefulset::StatefulSetOperator;
use sampan_statefulset::conformance::{suite, suite_of};
use serde_json::json;

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(StatefulSetOperator, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_makes_all_pods_at_once_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Create { object, .. } = command
                && object["metadata"]["name"] == "web-0"
            {
                object["metadata"]["name"] = json!("web-1");
            }
        }
    };
    let problem = problem_of(mutant, "ordered");
    assert!(problem.contains("without web-0"), "{problem}");
}

#[test]
fn a_mutant_that_forgets_claims_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        commands.retain(
            |it| !matches!(it, Command::Create { resource, .. } if resource.plural == "persistentvolumeclaims"),
        );
    };
    let problem = problem_of(mutant, "stored");
    assert!(problem.contains("is without"), "{problem}");
}

#[test]
fn a_mutant_that_deletes_no_pod_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    assert!(!problem_of(mutant, "ordered").is_empty());
}

#[test]
fn a_mutant_that_forgets_the_status_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    let problem = problem_of(mutant, "rolled");
    assert!(problem.contains("status"), "{problem}");
}
