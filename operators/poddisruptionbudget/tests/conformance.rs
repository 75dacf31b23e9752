//! The operator of disruption budgets under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_poddisruptionbudget::BudgetOperator;
use sampan_poddisruptionbudget::conformance::{suite, suite_of};
use serde_json::{Value, json};

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(BudgetOperator, mutant)).failure_in(world).problem
}

/// The statuses that commands write.
fn statuses(commands: &mut [Command]) -> impl Iterator<Item = &mut Value> {
    commands.iter_mut().filter_map(|command| match command {
        Command::UpdateStatus { object, .. } => Some(&mut object["status"]),
        _ => None,
    })
}

#[test]
fn a_mutant_that_counts_the_desired_as_healthy_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        statuses(commands).for_each(|status| status["currentHealthy"] = status["desiredHealthy"].clone());
    };
    let problem = problem_of(mutant, "spec one may be missing");
    assert!(problem.contains("currentHealthy") || problem.contains("rest"), "{problem}");
}

#[test]
fn a_mutant_that_never_forbids_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        statuses(commands).for_each(|status| status["disruptionsAllowed"] = json!(1));
    };
    assert!(!problem_of(mutant, "spec two must stay").is_empty());
}

#[test]
fn a_mutant_that_says_nothing_of_pods_nobody_knows_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        let is_failure = |status: &Value| status["conditions"][0]["reason"] == "SyncFailed";
        commands.retain(
            |command| !matches!(command, Command::UpdateStatus { object, .. } if is_failure(&object["status"])),
        );
    };
    assert!(!problem_of(mutant, "pods of somebody unknown").is_empty());
}
