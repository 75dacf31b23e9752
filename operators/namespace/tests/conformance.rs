//! The namespace operator under proof; and mutants that must not get through.

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_namespace::conformance::{shipping, suite, suite_of};

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(shipping(), mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_furnishes_nothing_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Create { .. }));
    let problem = problem_of(mutant, "plundered");
    assert!(problem.contains("the certificate is"), "{problem}");
}

#[test]
fn a_mutant_that_empties_nothing_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    let problem = problem_of(mutant, "emptied");
    assert!(problem.contains("is kept"), "{problem}");
}

#[test]
fn a_mutant_that_never_lets_the_namespace_go_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Subresource { .. }));
    let problem = problem_of(mutant, "emptied");
    assert!(problem.contains("stays"), "{problem}");
}
