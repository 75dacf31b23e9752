//! The garbage collector under proof; and mutants that must not get through.

use sampan_conformance::Mutant;
use sampan_core::gateway::DeleteOptions;
use sampan_core::operator::Command;
use sampan_garbagecollector::GarbageCollector;
use sampan_garbagecollector::conformance::{suite, suite_of};

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(GarbageCollector, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_leaves_dependents_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    assert!(problem_of(mutant, "background").contains("which is gone"));
}

#[test]
fn a_mutant_that_never_lets_an_owner_go_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Update { .. }));
    assert!(problem_of(mutant, "foreground").contains("waits for ever"));
}

#[test]
fn a_mutant_that_deletes_orphans_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Update { key, .. } = command
                && key.name.contains("child")
            {
                *command = Command::Delete { key: key.clone(), options: DeleteOptions::default() };
            }
        }
    };
    let problem = problem_of(mutant, "orphaned");
    assert!(problem.contains("the child goes"), "{problem}");
}
