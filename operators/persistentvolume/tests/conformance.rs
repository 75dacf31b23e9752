//! The operator of volumes under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_persistentvolume::VolumeOperator;
use sampan_persistentvolume::conformance::{suite, suite_of};
use serde_json::{Value, json};

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(VolumeOperator, mutant)).failure_in(world).problem
}

/// The objects that commands write.
fn written(commands: &mut [Command]) -> impl Iterator<Item = &mut Value> {
    commands.iter_mut().filter_map(|command| match command {
        Command::Update { object, .. } | Command::UpdateStatus { object, .. } => Some(object),
        _ => None,
    })
}

#[test]
fn a_mutant_that_says_every_volume_is_free_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        written(commands).filter(|object| object["status"]["phase"] == "Bound").for_each(|object| {
            object["status"]["phase"] = json!("Available");
        });
    };
    let problem = problem_of(mutant, "kept");
    assert!(problem.contains("phase") || problem.contains("rest"), "{problem}");
}

#[test]
fn a_mutant_that_never_lets_go_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|command| !matches!(command, Command::Update { .. }));
    assert!(!problem_of(mutant, "deleted").is_empty());
}

#[test]
fn a_mutant_that_never_reclaims_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|command| !matches!(command, Command::Delete { .. }));
    let problem = problem_of(mutant, "removed");
    assert!(!problem.is_empty(), "{problem}");
}
