//! The Service operator under proof; and mutants that must not get through.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Mutant, Property};
use sampan_core::operator::Command;
use sampan_core::resource::ENDPOINTS;
use sampan_service::ServiceOperator;
use sampan_service::conformance::{suite, suite_of};
use serde_json::{Value, json};

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> (Property, String) {
    let failure = suite_of(Mutant::of(ServiceOperator, mutant)).failure_in(world);
    (failure.property, failure.problem)
}

/// The objects that commands write.
fn written(commands: &mut [Command]) -> impl Iterator<Item = &mut Value> {
    commands.iter_mut().filter_map(|command| match command {
        Command::Create { object, .. } | Command::Update { object, .. } => Some(object),
        _ => None,
    })
}

#[test]
fn a_mutant_that_says_pods_on_their_way_out_are_ready_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for object in written(commands) {
            for endpoint in object["endpoints"].as_array_mut().into_iter().flatten() {
                endpoint["conditions"]["ready"] = json!(true);
            }
        }
    };
    let (property, problem) = problem_of(mutant, "governed");
    assert!(!problem.is_empty(), "{property}");
}

#[test]
fn a_mutant_that_forgets_the_endpoints_object_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        commands.retain(|command| command.key().is_none_or(|key| key.resource != ENDPOINTS));
    };
    let (property, problem) = problem_of(mutant, "governed");
    assert!(!problem.is_empty(), "{property}");
}

#[test]
fn a_mutant_that_leaves_slices_behind_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    let (property, problem) = problem_of(mutant, "copied");
    assert!(!problem.is_empty(), "{property}");
}

#[test]
fn a_mutant_that_forgets_who_owns_a_slice_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for object in written(commands) {
            object["metadata"].as_object_mut().map(|metadata| metadata.remove("ownerReferences"));
        }
    };
    let (property, problem) = problem_of(mutant, "spec plain");
    assert!(!problem.is_empty(), "{property}");
}
