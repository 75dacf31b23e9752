//! The transition table in the machine's documentation is the one that is declared.

use sampan_podcollector::PodCollectorMachine;

#[test]
fn the_chart_is_well_formed() {
    assert_eq!(PodCollectorMachine::chart().check(), Ok(()));
}

#[test]
fn the_documented_table_is_the_declared_one() {
    assert_eq!(PodCollectorMachine::chart().documented_in(include_str!("../src/machine.rs")), Ok(()));
}
