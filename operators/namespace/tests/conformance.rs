//! The namespace operator under proof.

#[test]
fn every_property_holds() {
    sampan_namespace::conformance::suite().test();
}
