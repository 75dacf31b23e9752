//! The ReplicaSet operator under proof; and mutants that must not get through.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::{Plan, Property};
use sampan_core::operator::{Command, Context, Declaration, Operator, Wake};
use sampan_replicaset::conformance::{suite, suite_of};
use sampan_replicaset::{ReplicaSetMachine, ReplicaSetOperator};

#[test]
fn every_property_holds() {
    suite().test();
}

/// The shipping operator, with its commands spoiled.
#[derive(Clone)]
struct Mutant(fn(&mut Vec<Command>));

impl Operator for Mutant {
    type Machine = ReplicaSetMachine;

    fn chart(&self) -> &'static sampan_machine::Chart {
        ReplicaSetMachine::chart()
    }

    fn machine(&self) -> ReplicaSetMachine {
        ReplicaSetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        ReplicaSetOperator.declaration()
    }

    fn step(&self, machine: &mut ReplicaSetMachine, wake: &Wake, cx: &mut Context<'_>) {
        ReplicaSetOperator.step(machine, wake, cx);
        (self.0)(cx.commands());
    }
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> (Property, String) {
    let plan = Plan::small().with_seeds(0..0).in_world(world);
    let outcome = suite_of(Mutant(mutant)).run(&plan, &|_, _| ());
    let failure = outcome.failures.into_iter().next().expect("the mutant gets through");
    (failure.property, failure.problem)
}

#[test]
fn a_mutant_that_creates_one_pod_too_many_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        let extra = commands.iter().find(|command| matches!(command, Command::Create { .. })).cloned();
        if let Some(Command::Create { resource, mut object }) = extra {
            object["metadata"]["name"] = "web-extra".into();
            commands.push(Command::Create { resource, object });
        }
    };
    let (property, problem) = problem_of(mutant, "failing");
    assert!(!problem.is_empty(), "{property}");
}

#[test]
fn a_mutant_that_forgets_the_status_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    let (property, problem) = problem_of(mutant, "failing");
    assert!(property == Property::Laws && problem.contains("status"), "{problem}");
}

#[test]
fn a_mutant_that_deletes_no_pod_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    let (property, _) = problem_of(mutant, "spec two");
    let caught_by = [Property::Laws, Property::NewSpec, Property::Deletion, Property::Conflicts];
    assert!(caught_by.contains(&property), "{property}");
}

#[test]
fn a_mutant_that_writes_what_it_does_not_declare_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        let key = sampan_core::object::ObjectKey::namespaced(sampan_core::resource::CONFIG_MAPS, "default", "quota");
        commands.push(Command::Delete { key, options: sampan_core::gateway::DeleteOptions::default() });
    };
    let (property, problem) = problem_of(mutant, "failing");
    assert!(property == Property::Declared && problem.contains("does not declare"), "{problem}");
}
