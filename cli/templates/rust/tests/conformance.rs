//! The operator under proof.

use ship_greeting::GreetingMachine;
use ship_greeting::conformance::suite;

#[test]
fn every_property_holds() {
    suite().test();
}

#[test]
fn the_documented_table_is_the_declared_one() {
    assert_eq!(GreetingMachine::chart().check(), Ok(()));
    assert_eq!(GreetingMachine::chart().documented_in(include_str!("../src/machine.rs")), Ok(()));
}
