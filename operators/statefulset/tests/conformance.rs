//! The StatefulSet operator under proof; and mutants that must not get through.

#![allow(clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Plan;
use sampan_core::operator::{Command, Context, Declaration, Operator, Wake};
use sampan_statefulset::conformance::{suite, suite_of};
use sampan_statefulset::{StatefulSetMachine, StatefulSetOperator};
use serde_json::json;

#[test]
fn every_property_holds() {
    suite().test();
}

/// The shipping operator, with its commands spoiled.
#[derive(Clone)]
struct Mutant(fn(&mut Vec<Command>));

impl Operator for Mutant {
    type Machine = StatefulSetMachine;

    fn chart(&self) -> &'static sampan_machine::Chart {
        StatefulSetMachine::chart()
    }

    fn machine(&self) -> StatefulSetMachine {
        StatefulSetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        StatefulSetOperator.declaration()
    }

    fn step(&self, machine: &mut StatefulSetMachine, wake: &Wake, cx: &mut Context<'_>) {
        StatefulSetOperator.step(machine, wake, cx);
        (self.0)(cx.commands());
    }
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    let plan = Plan::small().with_seeds(0..0).in_world(world);
    let outcome = suite_of(Mutant(mutant)).run(&plan, &|_, _| ());
    outcome.failures.into_iter().next().expect("the mutant gets through").problem
}

#[test]
fn a_mutant_that_makes_all_pods_at_once_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Create { object, .. } = command
                && object["metadata"]["name"] == "web-0"
            {
                object["metadata"]["name"] = json!("web-1");
            }
        }
    };
    let problem = problem_of(mutant, "ordered");
    assert!(problem.contains("without web-0"), "{problem}");
}

#[test]
fn a_mutant_that_forgets_claims_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        commands.retain(
            |it| !matches!(it, Command::Create { resource, .. } if resource.plural == "persistentvolumeclaims"),
        );
    };
    let problem = problem_of(mutant, "stored");
    assert!(problem.contains("is without"), "{problem}");
}

#[test]
fn a_mutant_that_deletes_no_pod_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    assert!(!problem_of(mutant, "ordered").is_empty());
}

#[test]
fn a_mutant_that_forgets_the_status_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    let problem = problem_of(mutant, "rolled");
    assert!(problem.contains("status"), "{problem}");
}
