//! The pod collector under proof; and mutants that must not get through.

use sampan_conformance::Mutant;
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::ObjectKey;
use sampan_core::operator::Command;
use sampan_podcollector::PodCollector;
use sampan_podcollector::conformance::{suite, suite_of};

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(operator: PodCollector, mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(operator, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_leaves_one_of_a_batch_is_caught() {
    let problem = problem_of(PodCollector::keeping(2), |_| {}, "at once");
    assert!(problem.contains("2 are left, and 1 are kept"), "{problem}");
}

#[test]
fn a_mutant_that_collects_nothing_is_caught() {
    let problem = problem_of(PodCollector::keeping(1), Vec::clear, "ending");
    assert!(problem.contains("2 are left"), "{problem}");
}

#[test]
fn a_mutant_that_takes_the_older_one_for_the_evicted_one_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        for command in commands {
            if let Command::Delete { key, options } = command {
                key.name = "a".into();
                options.uid = None;
            }
        }
    };
    let problem = problem_of(PodCollector::keeping(1), mutant, "evicted");
    assert!(problem.contains("a is gone"), "{problem}");
}

#[test]
fn a_mutant_that_goes_on_with_the_refused_one_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        let Some(Command::Delete { key, options }) = commands.first().cloned() else { return };
        let (key, options) = (ObjectKey { name: "a".into(), ..key }, DeleteOptions { uid: None, ..options });
        commands.insert(0, Command::Delete { key, options });
    };
    let operator = PodCollector::keeping(1).in_batches_of(2);
    let problem = problem_of(operator, mutant, "refused");
    assert!(problem.contains("are left, and 1 are kept"), "{problem}");
}
