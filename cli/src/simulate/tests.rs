//! The whole system by seed, within a fixed budget.

use super::*;

fn of(seed: u64) -> Course {
    Course { seed, nodes: 2, lasting: SignedDuration::from_secs(216), without: BTreeSet::new() }
}

fn short(seed: u64) -> Course {
    Course { lasting: SignedDuration::from_secs(60), ..of(seed) }
}

#[test]
fn seeds_within_the_budget_break_no_law_and_meet_every_fault_and_edge() {
    let mut report = Report::default();
    simulate_all(&setup(), 0..SEEDS_FOR_ALL, of, |run| {
        if let Some(violation) = &run.violation {
            panic!("seed {}: {violation}\n{}", run.course.seed, run.story.join("\n"));
        }
        report.add(&run);
        ControlFlow::Continue(())
    });
    assert_eq!(report.missing(), Vec::<String>::new(), "{report}");
}

#[test]
fn one_seed_is_one_run_byte_for_byte() {
    let setup = setup();
    let (once, again, other) = (simulate(&setup, &short(3)), simulate(&setup, &short(3)), simulate(&setup, &short(4)));
    assert_eq!((once.hash, once.revisions), (again.hash, again.revisions));
    assert_ne!(once.hash, other.hash);
}

#[test]
fn a_system_that_lacks_an_operator_breaks_a_law_and_leaves_edges_uncrossed() {
    let lacking = Setup { operators: |driver| driver.add(sampan_deployment::DeploymentOperator), ..setup() };
    let run = simulate(&lacking, &Course { nodes: 1, ..short(0) });
    let violation = run.violation.as_ref().expect("without pods no workload is complete");
    assert!(violation.law.contains("complete"), "{violation}");
    let mut report = Report::default();
    report.add(&run);
    let missing = report.missing();
    assert!(missing.iter().any(|what| what.starts_with("never crossed: deployment")), "{missing:?}");
}
