//! The scheduler under proof; and mutants that must not get through.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::collections::BTreeSet;

use sampan_conformance::Plan;
use sampan_core::object::Object;
use sampan_core::operator::{Command, Context, Declaration, Guarding, Operator, Wake, Watch};
use sampan_core::store::ReadKey;
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
    rest: fn(&mut BTreeSet<ReadKey>),
}

const HONEST: Mutant = Mutant { declare: |_| (), command: |_| (), rest: |_| () };

impl Operator for Mutant {
    type Machine = SchedulerMachine;

    fn chart(&self) -> &'static sampan_machine::Chart {
        SchedulerMachine::chart()
    }

    fn machine(&self) -> SchedulerMachine {
        SchedulerMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Scheduler::default().declaration();
        (self.declare)(&mut declaration);
        declaration
    }

    fn step(&self, machine: &mut SchedulerMachine, wake: &Wake, cx: &mut Context<'_>) {
        Scheduler::default().step(machine, wake, cx);
        (self.command)(cx.commands());
        (self.rest)(cx.decisive());
    }
}

fn problem_of(mutant: Mutant) -> String {
    found(mutant, &Plan::small().with_seeds(0..0))
}

fn problem_in(world: &str, mutant: Mutant) -> String {
    found(mutant, &Plan::small().with_seeds(0..0).in_world(world))
}

fn found(mutant: Mutant, plan: &Plan) -> String {
    let outcome = suite_of(mutant).run(plan, &|_, _| ());
    let problems: Vec<String> = outcome.failures.into_iter().map(|failure| failure.problem).collect();
    assert!(!problems.is_empty(), "the mutant gets through {plan:?}");
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
fn a_mutant_that_does_not_rest_on_who_comes_near_is_caught() {
    let rest = |reads: &mut BTreeSet<ReadKey>| reads.retain(|read| !matches!(read, ReadKey::Placed(_)));
    for (world, expected) in [
        ("beaten by whom it shuns", "which shuns it"),
        ("beaten by who shuns it", "which shuns it"),
        ("beaten to be first", "near nobody"),
        ("beaten to the zone", "the zones hold"),
    ] {
        let problem = problem_in(world, Mutant { rest, ..HONEST });
        assert!(problem.contains(expected), "{world}: {problem}");
    }
}

#[test]
fn a_mutant_that_does_not_rest_on_what_is_taken_is_caught() {
    let rest = |reads: &mut BTreeSet<ReadKey>| reads.retain(|read| !matches!(read, ReadKey::Taken(..)));
    let problem = problem_in("resized", Mutant { rest, ..HONEST });
    assert!(problem.contains("CPU left"), "{problem}");
}

#[test]
fn a_mutant_that_does_not_hear_of_pods_is_caught() {
    let declare = |declaration: &mut Declaration| {
        declaration.watches.retain(|watch| watch.resource != Some(sampan_core::resource::PODS))
    };
    let problem = problem_in("resized", Mutant { declare, ..HONEST });
    assert!(problem.contains("waits although") || problem.contains("watch"), "{problem}");
}

#[test]
fn a_mutant_that_does_not_rest_on_promises_is_caught() {
    let rest = |reads: &mut BTreeSet<ReadKey>| reads.retain(|read| !format!("{read:?}").contains("nominatedNodeName"));
    let problem = problem_in("beaten by a promise", Mutant { rest, ..HONEST });
    assert!(problem.contains("was promised small"), "{problem}");
}

/// The watch for who takes what others were promised.
fn overtaking(declaration: &mut Declaration) -> usize {
    let of_pods = |watch: &Watch| watch.resource == Some(sampan_core::resource::PODS);
    declaration.watches.iter().rposition(of_pods).unwrap()
}

fn nominated(pod: &Object) -> &str {
    pod.field("status.nominatedNodeName").unwrap_or_default()
}

#[test]
fn a_mutant_that_does_not_hear_of_who_overtakes_is_caught() {
    let declare = |declaration: &mut Declaration| {
        let at = overtaking(declaration);
        declaration.watches.remove(at);
    };
    let problem = problem_in("overtaken", Mutant { declare, ..HONEST });
    assert!(problem.contains("1800m are promised of small, and 1000m can be had"), "{problem}");
}

#[test]
fn a_mutant_that_does_not_hear_of_who_overtakes_without_a_promise_is_caught() {
    let declare = |declaration: &mut Declaration| {
        let at = overtaking(declaration);
        declaration.watches[at].heeds = Some(|before, after| nominated(before) != nominated(after));
    };
    let problem = problem_in("overtaken by less", Mutant { declare, ..HONEST });
    assert!(problem.contains("900m are promised of small, and 600m can be had"), "{problem}");
}

#[test]
fn a_mutant_that_has_nobody_go_is_caught() {
    let command = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Delete { .. }));
    let problem = problem_in("giving way", Mutant { command, ..HONEST });
    assert!(problem.contains("others could give way"), "{problem}");
}

#[test]
fn a_mutant_that_promises_nothing_is_caught() {
    let command = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::UpdateStatus { object, .. } = command {
                object["status"].as_object_mut().unwrap().remove("nominatedNodeName");
            }
        }
    };
    assert!(!problem_in("giving way", Mutant { command, ..HONEST }).is_empty());
}

#[test]
fn a_mutant_that_does_not_hear_of_company_is_caught() {
    let declare = |declaration: &mut Declaration| {
        declaration.watches.retain(|watch| watch.resource != Some(sampan_core::resource::PODS) || watch.heeds.is_none())
    };
    let problem = problem_in("together", Mutant { declare, ..HONEST });
    assert!(!problem.is_empty());
}

#[test]
fn a_mutant_that_binds_without_regard_to_others_is_caught() {
    let command = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Subresource { body, .. } = command {
                body["target"]["name"] = "e1".into();
            }
        }
    };
    for (world, expected) in [("apart", "which shuns it"), ("even", "the zones hold")] {
        let problem = problem_in(world, Mutant { command, ..HONEST });
        assert!(problem.contains(expected), "{world}: {problem}");
    }
}

#[test]
fn the_guard_is_narrowed_and_says_why() {
    assert!(
        matches!(Scheduler::default().declaration().guarding, Guarding::Decisive { because } if because.len() > 40)
    );
}
