//! The operator of definitions under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_customresourcedefinition::CustomResourceDefinitionOperator;
use sampan_customresourcedefinition::conformance::{suite, suite_of};
use serde_json::json;

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    let failure = suite_of(Mutant::of(CustomResourceDefinitionOperator, mutant)).failure_in(world);
    format!("{}: {}", failure.property.name(), failure.problem)
}

#[test]
fn a_mutant_that_never_lets_go_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Update { .. }));
    let problem = problem_of(mutant, "held");
    assert!(problem.contains("the empty definition is held"), "{problem}");
}

#[test]
fn a_mutant_that_leaves_objects_of_a_definition_that_goes_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    let problem = problem_of(mutant, "emptied");
    assert!(problem.contains("a widget is kept"), "{problem}");
}

#[test]
fn a_mutant_that_gives_away_names_others_have_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            let Command::UpdateStatus { object, .. } = command else { continue };
            object["status"]["acceptedNames"] = object["spec"]["names"].clone();
            for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
                condition["status"] = json!("True");
            }
        }
    };
    let problem = problem_of(mutant, "rivals");
    assert!(problem.contains("two definitions have one kind"), "{problem}");
}
