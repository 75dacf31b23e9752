//! The Job operator under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_core::resource::{JOBS, PODS};
use sampan_job::JobOperator;
use sampan_job::conformance::{suite, suite_of};
use serde_json::{Value, json};

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    let failure = suite_of(Mutant::of(JobOperator, mutant)).failure_in(world);
    format!("{}: {}", failure.property.name(), failure.problem)
}

fn is_release(command: &Command) -> bool {
    matches!(command, Command::Update { key, object }
        if key.resource == PODS && object.pointer("/metadata/finalizers/0").is_none())
}

#[test]
fn a_mutant_that_counts_before_it_lets_go_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        if commands.iter().any(|it| matches!(it, Command::UpdateStatus { .. })) {
            commands.retain(|it| !is_release(it));
        }
    };
    assert!(problem_of(mutant, "first success").contains("status.succeeded"));
}

#[test]
fn a_mutant_that_lets_go_before_it_counts_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        if commands.iter().any(is_release) {
            commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
        }
    };
    assert!(problem_of(mutant, "first success").contains("status.succeeded"));
}

#[test]
fn a_mutant_that_never_lets_go_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !is_release(it));
    assert!(!problem_of(mutant, "held").is_empty());
}

#[test]
fn a_mutant_that_gives_all_pods_one_index_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Create { object, .. } = command {
                for map in ["labels", "annotations"] {
                    object["metadata"][map]["batch.kubernetes.io/job-completion-index"] = json!("0");
                }
            }
        }
    };
    assert!(problem_of(mutant, "good enough").contains("an index has two pods"));
}

#[test]
fn a_mutant_that_forgets_why_the_job_failed_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::UpdateStatus { key, object } = command
                && key.resource == JOBS
            {
                object["status"]["conditions"] = Value::Null;
            }
        }
    };
    assert!(!problem_of(mutant, "hurried").is_empty());
}
