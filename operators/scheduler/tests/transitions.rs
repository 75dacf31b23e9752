//! The transition table in the machine's documentation is the one that is declared.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use sampan_scheduler::SchedulerMachine;

#[test]
fn the_chart_is_well_formed() {
    assert_eq!(SchedulerMachine::chart().check(), Ok(()));
}

#[test]
fn the_documented_table_is_the_declared_one() {
    let source = include_str!("../src/machine.rs");
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! ")).filter(|line| line.starts_with('|'));
    let documented: String = rows.flat_map(|row| [row, "\n"]).collect();
    assert_eq!(documented, SchedulerMachine::chart().table());
}
