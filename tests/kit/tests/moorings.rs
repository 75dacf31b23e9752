//! The kit interrupts effects before, between and after all they do, and names what is wrong with those it harms.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod mooring;

use mooring::{CAST_OFF, MOOR, Mooring, SOUND, ask, enter, named, note, suite};
use sampan_conformance::{Explores, Failure, Fault, Plan, Property, beyond};
use serde_json::json;

#[test]
fn a_sound_operator_holds_every_property_and_its_effects_meet_every_fault() {
    let outcome = suite(SOUND).run(&Plan::small(), &|_, _| ());
    let failures: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(outcome.tally.of(Property::Effects) > 100, "{outcome}");
    for fault in [Fault::CrashInEffect, Fault::FailedEffect, Fault::UnansweredEffect] {
        assert!(outcome.faults.get(&fault).is_some_and(|times| *times > 0), "{outcome}");
    }
}

/// The failure that names `property`, of worlds that are explored and of histories that are drawn.
#[track_caller]
fn check(operator: Mooring, property: Property) -> Failure {
    let explored = suite(operator).run(&Plan::small().with_seeds(0..0), &|_, _| ());
    let drawn = Plan { explores: Explores::None, ..Plan::small().with_seeds(0..30) };
    let drawn = suite(operator).run(&drawn, &|_, _| ());
    assert!(!drawn.failures.is_empty(), "histories let it through: {drawn}");
    let named = explored.failures.iter().find(|failure| failure.property == property).cloned();
    named.unwrap_or_else(|| panic!("{property} is not named: {explored}"))
}

#[test]
fn an_effect_that_is_not_idempotent() {
    // Each run takes a berth of its own.
    let moor = |request: &_| {
        let (ship, port) = named(request);
        beyond::act(|harbour| {
            let berths = harbour["berths"].as_object_mut().unwrap();
            berths.insert(format!("{ship}-{}", berths.len()), json!(port));
        })?;
        Ok(json!(null))
    };
    let cast_off = |_: &_| {
        beyond::act(|harbour| {
            let berths = harbour["berths"].as_object_mut().unwrap();
            berths.keys().next().cloned().and_then(|first| berths.remove(&first))
        })?;
        Ok(json!(null))
    };
    let failure = check(Mooring { moor, cast_off, ..SOUND }, Property::Effects);
    assert!(failure.to_string().contains("crash when 1 of its acts are done"), "{failure}");
}

#[test]
fn an_effect_that_takes_its_first_half_for_the_whole() {
    let moor = |request: &_| {
        let (ship, port) = named(request);
        let is_there = beyond::act(|harbour| harbour["berths"].get(&ship).is_some())?;
        if !is_there {
            beyond::act(|harbour| harbour["berths"][&ship] = json!(port))?;
            beyond::act(|harbour| harbour["ropes"][&ship] = json!(port))?;
        }
        Ok(json!(null))
    };
    let failure = check(Mooring { moor, ..SOUND }, Property::Effects);
    assert!(failure.problem.contains("ropes"), "{failure}");
}

#[test]
fn leaving_while_it_still_moors() {
    let enter = |state, ship: &mooring::Ship, cx: &mut sampan_core::operator::Context<'_>| match ship.noted() {
        Some(port) if state == "Leaving" => {
            if ask(ship, CAST_OFF, port, cx).is_some() {
                note(ship, &[], cx);
                cx.forget_effect(MOOR, port);
                cx.forget_effect(CAST_OFF, port);
            }
        }
        _ => enter(state, ship, cx),
    };
    check(Mooring { enter, ..SOUND }, Property::Effects);
}

#[test]
fn leaving_its_berth_behind() {
    let enter = |state, ship: &mooring::Ship, cx: &mut sampan_core::operator::Context<'_>| {
        let is_going = ship.map.metadata.deletion_timestamp.is_some();
        if is_going { note(ship, &[], cx) } else { enter(state, ship, cx) }
    };
    let failure = check(Mooring { enter, ..SOUND }, Property::Deletion);
    assert!(failure.problem.contains("beyond the cluster"), "{failure}");
}
