//! The operator of nodes under proof; and mutants that must not get through.

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_core::resource::{NODES, PODS};
use sampan_node::NodeOperator;
use sampan_node::conformance::{suite, suite_of};
use serde_json::Value;

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong with an operator whose commands are spoiled.
fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(NodeOperator, mutant)).failure_in(world).problem
}

/// The taints a command sets.
fn taints(command: &mut Command) -> Option<&mut Vec<Value>> {
    match command {
        Command::Update { key, object } if key.resource == NODES => {
            object.pointer_mut("/spec/taints").and_then(Value::as_array_mut)
        }
        _ => None,
    }
}

#[test]
fn a_mutant_that_drives_nobody_away_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for taints in commands.iter_mut().filter_map(taints) {
            taints.retain(|taint| taint.pointer("/effect").is_none_or(|effect| effect != "NoExecute"));
        }
    };
    assert!(problem_of(mutant, "beside").contains("pods are driven away"));
}

#[test]
fn a_mutant_that_leaves_pods_ready_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        commands.retain(|it| !matches!(it, Command::UpdateStatus { key, .. } if key.resource == PODS));
    };
    assert!(problem_of(mutant, "peopled").contains("is ready on a node that is given up"));
}

#[test]
fn a_mutant_that_never_takes_a_taint_away_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        commands.retain_mut(|it| taints(it).is_some_and(|taints| !taints.is_empty()) || !is_taint(it));
    };
    assert!(problem_of(mutant, "beside").contains("taint"));
}

fn is_taint(command: &Command) -> bool {
    matches!(command, Command::Update { key, .. } if key.resource == NODES)
}
