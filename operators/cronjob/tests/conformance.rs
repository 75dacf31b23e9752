//! The CronJob operator under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_cronjob::CronJobOperator;
use sampan_cronjob::conformance::{suite, suite_of};
use serde_json::Value;

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(CronJobOperator, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_forgets_which_time_it_served_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::UpdateStatus { object, .. } = command {
                object["status"]["lastScheduleTime"] = Value::Null;
            }
        }
    };
    assert!(problem_of(mutant, "finishing").contains("is not told to be served"));
}

#[test]
fn a_mutant_that_replaces_nothing_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    assert!(problem_of(mutant, "replacing").contains("2 Jobs run"));
}

#[test]
fn a_mutant_that_keeps_all_history_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    assert!(problem_of(mutant, "failing").contains("are kept that are Failed"));
}

#[test]
fn a_mutant_that_tells_nothing_of_its_jobs_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::UpdateStatus { object, .. } = command {
                object["status"]["active"] = Value::Null;
            }
        }
    };
    assert!(!problem_of(mutant, "late").is_empty());
}
