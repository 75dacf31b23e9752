//! The operator under proof.

use configrollout::conformance::{suite, suite_of};
use configrollout::{ConfigRollout, RolloutMachine};
use sampan::conformance::Mutant;
use sampan::core::operator::Command;

#[test]
fn every_property_holds() {
    suite().test();
}

/// What is found wrong first with an operator whose commands are spoiled.
fn caught(spoil: fn(&mut Vec<Command>), world: &str) -> String {
    suite_of(Mutant::of(ConfigRollout, spoil)).failure_in(world).to_string()
}

#[test]
fn a_broken_copy_is_caught_and_named() {
    let lazy = caught(Vec::clear, "edited");
    assert!(lazy.contains("pods are made with what the map holds"), "{lazy}");
    let stale = caught(
        |commands| {
            for command in commands {
                if let Command::Update { object, .. } = command
                    && let Some(annotations) = object.pointer_mut("/spec/template/metadata/annotations")
                {
                    annotations["example.com/config-checksum"] = "00dfe7ef2a78498e".into();
                }
            }
        },
        "edited",
    );
    assert!(stale.contains("the checksum is \"00dfe7ef2a78498e\", should be"), "{stale}");
}

#[test]
fn the_documented_table_is_the_declared_one() {
    assert_eq!(RolloutMachine::chart().check(), Ok(()));
    assert_eq!(RolloutMachine::chart().documented_in(include_str!("../src/machine.rs")), Ok(()));
}

#[test]
fn the_binary_carries_it() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_configrollout"))
        .args(["conformance", "configrollout", "--world", "missing"])
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("configrollout: 1 worlds"), "{told}");
}

#[test]
fn the_guide_quotes_what_is_there() {
    let guide = include_str!("../../../docs/writing-an-operator.md");
    let sources = [
        include_str!("../src/lib.rs"),
        include_str!("../src/plan.rs"),
        include_str!("../src/machine.rs"),
        include_str!("../src/conformance.rs"),
        include_str!("../src/main.rs"),
        include_str!("../../../tests/kit/tests/mooring/mod.rs"),
    ];
    let quotes: Vec<&str> = guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(quotes.len() > 5, "the guide quotes the example");
    for quote in quotes {
        assert!(sources.iter().any(|source| source.contains(quote)), "no source holds\n{quote}");
    }
}
