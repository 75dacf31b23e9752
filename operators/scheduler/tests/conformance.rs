//! The scheduler under proof; and mutants that must not get through.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_conformance::Plan;
use sampan_core::operator::{Command, Context, Declaration, Guarding, Operator, Wake};
use sampan_scheduler::conformance::{suite, suite_of};
use sampan_scheduler::{Scheduler, SchedulerMachine};

#[test]
fn every_property_holds() {
    suite().test();
}

/// The shipping operator, spoiled.
#[derive(Clone, Copy)]
struct Mutant {
    declare: fn(&mut Declaration),
    command: fn(&mut Vec<Command>),
}

const HONEST: Mutant = Mutant { declare: |_| (), command: |_| () };

impl Operator for Mutant {
    type Machine = SchedulerMachine;

    fn chart(&self) -> &'static sampan_machine::Chart {
        SchedulerMachine::chart()
    }

    fn machine(&self) -> SchedulerMachine {
        SchedulerMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Scheduler.declaration();
        (self.declare)(&mut declaration);
        declaration
    }

    fn step(&self, machine: &mut SchedulerMachine, wake: &Wake, cx: &mut Context<'_>) {
        Scheduler.step(machine, wake, cx);
        (self.command)(cx.commands());
    }
}

fn problem_of(mutant: Mutant) -> String {
    let outcome = suite_of(mutant).run(&Plan::small().with_seeds(0..0), &|_, _| ());
    let problems: Vec<String> = outcome.failures.into_iter().map(|failure| failure.problem).collect();
    assert!(!problems.is_empty(), "the mutant gets through");
    problems.join("\n")
}

#[test]
fn a_mutant_that_never_binds_is_caught() {
    let command = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Subresource { .. }));
    let problem = problem_of(Mutant { command, ..HONEST });
    assert!(problem.contains("waits although") || problem.contains("says"), "{problem}");
}

#[test]
fn a_mutant_that_never_says_why_is_caught() {
    let command = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    assert!(problem_of(Mutant { command, ..HONEST }).contains("says"));
}

#[test]
fn a_mutant_that_does_not_hear_of_nodes_is_caught() {
    let declare = |declaration: &mut Declaration| {
        declaration.watches.retain(|watch| watch.resource != Some(sampan_core::resource::NODES))
    };
    let problem = problem_of(Mutant { declare, ..HONEST });
    assert!(!problem.is_empty());
}

#[test]
fn a_mutant_that_binds_to_any_node_is_caught() {
    let command = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Subresource { body, .. } = command {
                body["target"]["name"] = "small".into();
            }
        }
    };
    let problem = problem_of(Mutant { command, ..HONEST });
    assert!(problem.contains("CPU left"), "{problem}");
}

#[test]
fn the_guard_is_narrowed_and_says_why() {
    assert!(matches!(Scheduler.declaration().guarding, Guarding::Decisive { because } if because.len() > 40));
}
