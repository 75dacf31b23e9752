//! The operator of claims under proof; and mutants that must not get through.

use sampan_conformance::Mutant;
use sampan_core::operator::Command;
use sampan_core::resource::PERSISTENT_VOLUMES;
use sampan_persistentvolumeclaim::ClaimOperator;
use sampan_persistentvolumeclaim::conformance::{suite, suite_of};

#[test]
fn every_property_holds() {
    suite().test();
}

fn problem_of(mutant: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(ClaimOperator, mutant)).failure_in(world).problem
}

#[test]
fn a_mutant_that_binds_the_claim_alone_is_caught() {
    let mutant = |commands: &mut Vec<Command>| {
        commands
            .retain(|command| !matches!(command, Command::Update { key, .. } if key.resource == PERSISTENT_VOLUMES));
    };
    assert!(problem_of(mutant, "fitting").contains("not held for it"));
}

#[test]
fn a_mutant_that_never_lets_go_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::Update { .. }));
    assert!(problem_of(mutant, "used").contains("it is kept"));
}

#[test]
fn a_mutant_that_never_says_a_claim_is_bound_is_caught() {
    let mutant = |commands: &mut Vec<Command>| commands.retain(|it| !matches!(it, Command::UpdateStatus { .. }));
    assert!(problem_of(mutant, "spec made").contains("phase"));
}
