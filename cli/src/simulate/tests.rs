//! The whole system by seed, within a fixed budget.

use super::*;

/// Seeds run each time: about 20 seconds of a debug build.
const SEEDS: u64 = 8;

fn short(seed: u64) -> Course {
    Course { seed, nodes: 2, lasting: SignedDuration::from_secs(90), without: BTreeSet::new() }
}

fn check(setup: &Setup, course: &Course) {
    let run = simulate(setup, course);
    if let Some(violation) = &run.violation {
        panic!("seed {}: {violation}\n{}", course.seed, run.story.join("\n"));
    }
}

#[test]
fn seeds_within_the_budget_break_no_law() {
    let setup = setup();
    (0..SEEDS).for_each(|seed| check(&setup, &short(seed)));
}

#[test]
fn one_seed_is_one_run_byte_for_byte() {
    let setup = setup();
    let (once, again, other) = (simulate(&setup, &short(3)), simulate(&setup, &short(3)), simulate(&setup, &short(4)));
    assert_eq!((once.hash, once.revisions), (again.hash, again.revisions));
    assert_ne!(once.hash, other.hash);
}

#[test]
fn a_system_that_lacks_an_operator_breaks_a_law() {
    let lacking = Setup { operators: |driver| driver.add(sampan_deployment::DeploymentOperator), ..setup() };
    let run = simulate(&lacking, &Course { nodes: 1, ..short(0) });
    let violation = run.violation.expect("without pods no workload is complete");
    assert!(violation.law.contains("complete"), "{violation}");
}
