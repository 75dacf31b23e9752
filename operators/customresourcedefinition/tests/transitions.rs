//! The transition table in the machine's documentation is the one that is declared.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use sampan_customresourcedefinition::CustomResourceDefinitionMachine;

#[test]
fn the_chart_is_well_formed() {
    assert_eq!(CustomResourceDefinitionMachine::chart().check(), Ok(()));
}

#[test]
fn the_documented_table_is_the_declared_one() {
    let documented: String = include_str!("../src/machine.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| line.starts_with('|'))
        .fold(String::new(), |table, line| table + line + "\n");
    assert_eq!(documented, CustomResourceDefinitionMachine::chart().table());
}
