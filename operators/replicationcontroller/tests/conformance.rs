//! The ReplicationController operator under proof; and mutants that must not get through.

use sampan_podset::replicas::mutants;
use sampan_replicationcontroller::ReplicationControllerOperator;
use sampan_replicationcontroller::conformance::{suite, suite_of};

#[test]
fn every_property_holds() {
    suite().test();
}

#[test]
fn mutants_are_caught() {
    mutants::are_caught(ReplicationControllerOperator, suite_of);
}
