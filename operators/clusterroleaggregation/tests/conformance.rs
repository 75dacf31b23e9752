//! The aggregation of cluster roles under proof.

#[test]
fn every_property_holds() {
    sampan_clusterroleaggregation::conformance::suite().test();
}
