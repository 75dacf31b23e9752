//! The operator of definitions under proof.

#[test]
fn every_property_holds() {
    sampan_customresourcedefinition::conformance::suite().test();
}
