//! The garbage collector under proof.

#[test]
fn every_property_holds() {
    sampan_garbagecollector::conformance::suite().test();
}
