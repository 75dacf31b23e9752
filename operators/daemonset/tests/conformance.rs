//! The DaemonSet operator under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_daemonset::DaemonSetOperator;
use sampan_daemonset::conformance::{suite, suite_of};
use serde_json::json;

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(DaemonSetOperator, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_means_all_pods_for_one_node_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Create { object, .. } = command
                && object["kind"] == "Pod"
            {
                let affinity = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
                let node = format!("{affinity}/nodeSelectorTerms/0/matchFields/0/values/0");
                *object.pointer_mut(&node).expect("a pod names its node") = json!("a");
            }
        }
    };
    assert!(!problem_of(mutant, "joined").is_empty());
}

#[test]
fn a_mutant_that_deletes_no_pod_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    assert!(!problem_of(mutant, "tainted").is_empty());
}

#[test]
fn a_mutant_that_forgets_the_status_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    let problem = problem_of(mutant, "failing");
    assert!(problem.contains("status") || problem.contains("generation"), "{problem}");
}
