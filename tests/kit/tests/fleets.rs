//! The kit lets a sound operator through, and names what is wrong with each that differs from it in a few lines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

mod fleet;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleet::{Fleet, SOUND, View, enter, go_to, is_status, named, suite};
use k8s_openapi::api::core::v1::{ConfigMap, ReplicationController};
use sampan_conformance::{Explores, Failure, Plan, Property};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Command, Context, EventKind, Guarding, WriteVerb};
use sampan_core::resource::CONFIG_MAPS;
use sampan_machine::UNOBSERVED;

#[test]
fn a_sound_operator_holds_every_property() {
    suite(SOUND).test();
}

/// The failures of an operator, and that the first of them names `property`.
#[track_caller]
fn check(operator: Fleet, property: Property) -> Failure {
    let outcome = suite(operator).run(&Plan::small().with_seeds(0..3), &|_, _| ());
    let named = outcome.failures.iter().find(|failure| failure.property == property).cloned();
    named.unwrap_or_else(|| panic!("{property} is not named: {outcome}"))
}

#[test]
fn acting_on_a_stale_view() {
    // Nothing of what it reads guards its commits.
    let declare =
        |it: &mut sampan_core::operator::Declaration| it.guarding = Guarding::Decisive { because: "it is not" };
    check(Fleet { declare, ..SOUND }, Property::StaleSnapshots);
}

#[test]
fn breaking_when_interrupted_between_two_writes() {
    // The status is written in the step after the one that built, which a machine must remember.
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        let builds = cx.commands().iter().any(|it| matches!(it, Command::Create { .. }));
        if !machine.memory {
            cx.commands().retain(|it| !is_status(it));
        }
        machine.memory |= builds;
    };
    check(Fleet { step, ..SOUND }, Property::Crashes);
}

#[test]
fn missing_a_state_it_never_observed() {
    // Boats are refitted only by a fleet that was seen to sail.
    let step = |machine: &mut fleet::FleetMachine, _: &_, cx: &mut Context<'_>| {
        let Some(view) = View::of(cx) else { return };
        let (from, to) = (machine.state, view.classify());
        go_to(machine, to, cx);
        if to != "Refitting" || from == "Sailing" || from == UNOBSERVED {
            enter(to, &view, cx);
        }
    };
    check(Fleet { step, ..SOUND }, Property::NewSpec);
}

#[test]
fn taking_a_wake_up_for_an_order() {
    let step = |machine: &mut fleet::FleetMachine, wake: &sampan_core::operator::Wake, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        if wake.reasons.iter().any(|reason| reason.cause == "retry") && machine.state == "Sailing" {
            let mut fleet = ReplicationController::clone(&cx.primary().unwrap());
            fleet.metadata.annotations.get_or_insert_default().insert("woken".to_owned(), "again".to_owned());
            cx.update(&fleet);
        }
    };
    check(Fleet { step, ..SOUND }, Property::WakeUps);
}

#[test]
fn leaking_what_it_created() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        let log = ObjectKey::namespaced(CONFIG_MAPS, "default", "log");
        if machine.state == "Sailing" && cx.get::<ConfigMap>(&log).is_none() {
            cx.create(&ConfigMap { metadata: named("log"), ..ConfigMap::default() });
        }
    };
    let failure = check(Fleet { step, ..SOUND }, Property::Deletion);
    assert!(failure.problem.contains("configmaps/default/log"), "{failure}");
}

#[test]
fn a_finalizer_that_is_never_removed() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        if machine.state == "Sinking" {
            cx.commands().retain(|it| !matches!(it, Command::Update { .. }));
        }
    };
    let failure = check(Fleet { step, ..SOUND }, Property::Deletion);
    assert!(failure.problem.contains(fleet::FINALIZER), "{failure}");
}

#[test]
fn looking_again_every_second() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        cx.wake_after(Duration::from_secs(1));
    };
    check(Fleet { step, ..SOUND }, Property::QuietDay);
}

#[test]
fn writing_for_ever() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        if machine.state == "Sailing" && cx.commands().is_empty() {
            let mut fleet = ReplicationController::clone(&cx.primary().unwrap());
            let annotations = fleet.metadata.annotations.get_or_insert_default();
            let was = annotations.insert("at".to_owned(), "sea".to_owned()).unwrap_or_default();
            annotations.insert("at".to_owned(), if was == "sea" { "port" } else { "sea" }.to_owned());
            cx.update(&fleet);
        }
    };
    check(Fleet { step, ..SOUND }, Property::Convergence);
}

#[test]
fn writing_what_it_does_not_declare() {
    let declare = |it: &mut sampan_core::operator::Declaration| it.writes.retain(|it| it.verb != WriteVerb::Delete);
    check(Fleet { declare, ..SOUND }, Property::Declared);
}

#[test]
fn forgetting_a_part_of_the_spec() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        cx.commands().retain(|it| !matches!(it, Command::Update { key, .. } if key.resource == CONFIG_MAPS));
    };
    check(Fleet { step, ..SOUND }, Property::NewSpec);
}

#[test]
fn the_status_as_the_only_truth() {
    // That boats were ever built is written nowhere else.
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        let Some(mut fleet) = cx.primary::<ReplicationController>().map(std::sync::Arc::unwrap_or_clone) else {
            return;
        };
        let ever = fleet.status.take().and_then(|status| status.fully_labeled_replicas);
        if machine.state == "Building" {
            fleet.status.get_or_insert_default().fully_labeled_replicas = Some(1);
            cx.update_status(&fleet);
        }
        for command in cx.commands().iter_mut().filter(|_| machine.state == "Sailing") {
            if let Command::UpdateStatus { object, .. } = command {
                object["status"]["fullyLabeledReplicas"] = ever.unwrap_or_default().into();
            }
        }
    };
    check(Fleet { step, ..SOUND }, Property::Status);
}

#[test]
fn drawing_lots_by_itself() {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        for command in cx.commands() {
            if let Command::Create { object, .. } = command {
                object["metadata"]["annotations"]["lot"] = DRAWN.fetch_add(1, Ordering::Relaxed).to_string().into();
            }
        }
    };
    let failure = suite(Fleet { step, ..SOUND }).run(&Plan::small().with_seeds(0..1), &|_, _| ());
    assert!(!failure.failures.is_empty());
}

#[test]
fn creating_without_end() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        let mut extra = ConfigMap { metadata: named(""), ..ConfigMap::default() };
        let owner = cx.owned::<ConfigMap>().first().and_then(|boat| boat.metadata.owner_references.clone());
        extra.metadata.name = Some(format!("extra-{}", cx.random().name_suffix()));
        extra.metadata.owner_references = owner;
        cx.create(&extra);
    };
    check(Fleet { step, ..SOUND }, Property::BoundedCreation);
}

#[test]
fn deleting_what_it_does_not_own() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        let stranger = cx.get::<ConfigMap>(&ObjectKey::namespaced(CONFIG_MAPS, "default", "stranger"));
        if let Some(stranger) = stranger.filter(|_| machine.state == "Sailing") {
            cx.delete(&*stranger, DeleteOptions::default());
        }
    };
    check(Fleet { step, ..SOUND }, Property::Ownership);
}

#[test]
fn keeping_silent_when_refused() {
    let step = |machine: &mut fleet::FleetMachine, _: &_, cx: &mut Context<'_>| {
        let Some(view) = View::of(cx) else { return };
        let view = View { refused: None, ..view };
        go_to(machine, view.classify(), cx);
        enter(machine.state, &view, cx);
    };
    check(Fleet { step, ..SOUND }, Property::Refusals);
}

#[test]
fn a_state_that_is_remembered() {
    let step = |machine: &mut fleet::FleetMachine, _: &_, cx: &mut Context<'_>| {
        let Some(view) = View::of(cx) else { return };
        let is_over = view.classify() == "Sailing" && machine.state == "Building";
        enter(view.classify(), &view, cx);
        if !is_over {
            go_to(machine, view.classify(), cx);
        }
    };
    check(Fleet { step, ..SOUND }, Property::DerivedState);
}

#[test]
fn writing_down_the_time() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        let now = cx.now().to_string();
        for command in cx.commands() {
            if let Command::Create { object, .. } = command {
                object["data"]["built"] = now.clone().into();
            }
        }
    };
    check(Fleet { step, ..SOUND }, Property::Clock);
}

#[test]
fn greeting_at_every_start() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        let starts = machine.state == UNOBSERVED;
        fleet::step(machine, wake, cx);
        if starts {
            cx.event(EventKind::Normal, "Started", "The fleet is looked after.");
        }
    };
    check(Fleet { step, ..SOUND }, Property::Rest);
}

#[test]
fn a_transition_nobody_declared() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        if machine.state == "Scrapping" {
            cx.trace().because("on a whim");
            cx.trace().crossed("Scrapping", "Scrapping");
        }
    };
    check(Fleet { step, ..SOUND }, Property::DeclaredEdges);
}

#[test]
fn building_one_too_many() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        for command in cx.commands() {
            if let Command::Create { object, .. } = command
                && object["metadata"]["name"] == "boat-1"
            {
                object["metadata"]["name"] = "boat-1a".into();
            }
        }
        cx.commands().retain(|it| !matches!(it, Command::Delete { key, .. } if &*key.name == "boat-1a"));
    };
    check(Fleet { step, ..SOUND }, Property::Laws);
}

#[test]
fn a_panic() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        assert!(machine.state != "Refitting", "no dock");
    };
    let failure = check(Fleet { step, ..SOUND }, Property::Soundness);
    assert!(failure.problem.contains("no dock"), "{failure}");
}

#[test]
fn a_failure_is_a_short_story_with_the_command_that_tells_it_again() {
    let step = |machine: &mut fleet::FleetMachine, wake: &_, cx: &mut Context<'_>| {
        fleet::step(machine, wake, cx);
        assert!(machine.state != "Scrapping", "no breaker");
    };
    let plan = Plan { explores: Explores::None, ..Plan::small() };
    let outcome = suite(Fleet { step, ..SOUND }).run(&plan, &|_, _| ());
    let failure = outcome.failures.into_iter().find(|it| it.world == "spec two boats").unwrap();
    let told = failure.to_string();
    assert!(told.contains("sampan conformance fleet --world 'spec two boats' --seed"), "{told}");
    assert!(failure.trace.len() <= 8, "{told}");
    assert!(told.contains("the spec becomes `one boat, drilled`"), "{told}");
    assert_eq!(failure.property, Property::Soundness);
}
