//! The aggregation of cluster roles under proof; and mutants that must not get through.

use sampan_clusterroleaggregation::ClusterRoleAggregation;
use sampan_clusterroleaggregation::conformance::{suite, suite_of};
use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use serde_json::Value;

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    let failure = suite_of(Mutant::of(ClusterRoleAggregation, mutant)).failure_in(world);
    format!("{}: {}", failure.property.name(), failure.problem)
}

/// The role a command writes.
fn role(command: &mut Command) -> Option<&mut Value> {
    match command {
        Command::Update { object, .. } => Some(object),
        _ => None,
    }
}

#[test]
fn a_mutant_that_writes_no_rules_is_caught() {
    let problem = problem_of(Vec::clear, "chain");
    assert!(problem.contains("edit is made of view and its own parts"), "{problem}");
}

#[test]
fn a_mutant_that_forgets_what_a_role_is_part_of_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for metadata in commands.iter_mut().filter_map(role).filter_map(|role| role.get_mut("metadata")) {
            metadata.as_object_mut().map(|fields| fields.remove("labels"));
        }
    };
    let problem = problem_of(mutant, "chain");
    assert!(problem.contains("edit is made of view and its own parts"), "{problem}");
}

#[test]
fn a_mutant_that_copies_one_rule_alone_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for rules in commands.iter_mut().filter_map(role).filter_map(|role| role.get_mut("rules")?.as_array_mut()) {
            rules.truncate(1);
        }
    };
    let problem = problem_of(mutant, "chain");
    assert!(problem.contains("loop") || problem.contains("edit"), "{problem}");
}
