//! The operator of resource quotas under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_resourcequota::QuotaOperator;
use sampan_resourcequota::conformance::{suite, suite_of};
use serde_json::{Value, json};

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(QuotaOperator, mutant)).failure_in(world).problem
}

/// The statuses that commands write.
fn statuses(commands: &mut [Command]) -> impl Iterator<Item = &mut Value> {
    commands.iter_mut().filter_map(|command| match command {
        Command::UpdateStatus { object, .. } => Some(&mut object["status"]),
        _ => None,
    })
}

#[test]
fn a_mutant_that_forgets_a_limit_is_caught() {
    let mutant = |commands: &mut Vec<Command>| statuses(commands).for_each(|status| status["hard"] = json!({}));
    assert!(!problem_of(mutant, "spec two maps").is_empty());
}

#[test]
fn a_mutant_that_says_nothing_is_used_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        statuses(commands).for_each(|status| {
            status["used"].as_object_mut().into_iter().flatten().for_each(|(_, used)| *used = json!("0"));
        });
    };
    assert!(!problem_of(mutant, "pods").is_empty());
}

#[test]
fn a_mutant_that_tells_nothing_once_it_has_told_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        commands.retain(|command| !matches!(command, Command::UpdateStatus { object, .. } if object["status"]["used"]["pods"] == "1"));
    };
    assert!(!problem_of(mutant, "pods").is_empty());
}
