//! The transition table in the machine's documentation is the one that is declared.

use sampan_replicationcontroller::CHART;

#[test]
fn the_chart_is_well_formed() {
    assert_eq!(CHART.check(), Ok(()));
}

#[test]
fn the_documented_table_is_the_declared_one() {
    assert_eq!(CHART.documented_in(include_str!("../../podset/src/replicas/machine.rs")), Ok(()));
}
