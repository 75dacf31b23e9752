//! The evictor under proof; and mutants that must not get through.

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_evictor::Evictor;
use sampan_evictor::conformance::{suite, suite_of};

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(Evictor, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_removes_pods_of_a_lost_node_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Delete { options, .. } = command {
                options.grace_seconds = Some(0);
            }
        }
    };
    assert!(problem_of(mutant, "lost").contains("it is gone"));
}

#[test]
fn a_mutant_that_marks_pods_and_never_deletes_them_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    assert!(problem_of(mutant, "tainted").contains("does not tolerate it"));
}

#[test]
fn a_mutant_that_does_not_say_how_pods_ended_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::UpdateStatus { object, .. } = command
                && let Some(status) = object.get_mut("status").and_then(serde_json::Value::as_object_mut)
            {
                status.insert("phase".to_owned(), "Pending".into());
            }
        }
    };
    assert!(problem_of(mutant, "unplaced").contains("Pending"));
}

#[test]
fn a_mutant_that_never_takes_back_that_a_pod_goes_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    assert!(problem_of(mutant, "marked").contains("is said to go, and stays"));
}
