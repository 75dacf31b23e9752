//! What is stepped, when, and what its commits rest on.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::stepping::RESERVED_CHANGES_MAX;
use super::super::{Context, EventKind, FLIGHTS_MAX, Guarding, Kind, Turn, WriteVerb};
use super::fixture::{Launched, Scripted, World, key};
use crate::object::ResourceType;
use crate::store::{ReadKey, Refusal};

fn map(name: &str, value: &str) -> ConfigMap {
    let metadata =
        ObjectMeta { name: Some(name.to_owned()), namespace: Some("default".to_owned()), ..ObjectMeta::default() };
    ConfigMap { metadata, data: Some([("k".to_owned(), value.to_owned())].into()), ..ConfigMap::default() }
}

/// Writes `done` into its ConfigMap.
fn finish(cx: &mut Context<'_>) {
    let Some(found) = cx.primary::<ConfigMap>() else { return };
    let mut done = (*found).clone();
    done.data = Some([("k".to_owned(), "done".to_owned())].into());
    cx.update(&done);
}

#[test]
fn many_commits_are_under_way_at_once_and_no_more_than_the_limit() {
    let mut world = World::new(|driver| driver.add(Scripted::new("finisher", |_, cx| finish(cx))));
    for index in 0..FLIGHTS_MAX + 5 {
        world.put(&format!("m{index:03}"), "new");
    }
    let mut launched: Vec<Launched> = Vec::new();
    while let (Turn::Launched, begun) = world.turn() {
        launched.extend(begun);
    }
    assert_eq!((launched.len(), world.operators.under_way()), (FLIGHTS_MAX, FLIGHTS_MAX));
    assert!(!world.operators.is_ready());
    world.settle(vec![launched.remove(0)]);
    let (turn, begun) = world.turn();
    assert_eq!((turn, begun.len()), (Turn::Launched, 1), "one settled lets one begin");
    world.settle(launched);
    world.settle(begun);
    world.run_to_rest();
    assert!(world.values().iter().all(|(_, value)| value == "done"));
}

#[test]
fn after_conflicts_in_a_row_only_what_the_commit_rests_on_is_held_still() {
    let because = "the map named `decisive` is all that matters here";
    let step = |wake: &super::super::Wake, cx: &mut Context<'_>| {
        if &*wake.key.name != "worker" {
            return;
        }
        cx.objects(ConfigMap::RESOURCE, None);
        cx.rests_on(ReadKey::Object(key("decisive")));
        finish(cx);
    };
    let mut world = World::new(|driver| {
        driver.add(Scripted::new("decider", step).declaring(|mut declaration| {
            declaration.guarding = Guarding::Decisive { because };
            declaration
        }));
    });
    world.put("decisive", "0");
    world.put("worker", "new");
    let mut contradicted = 0;
    while world.reserved.is_empty() {
        let (_, launched) = world.turn();
        if launched.is_empty() {
            continue;
        }
        contradicted += 1;
        world.put("decisive", &contradicted.to_string());
        let outcomes = world.settle(launched);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(Refusal::Guard { .. })) || contradicted > 3));
    }
    assert_eq!(world.reserved, [vec![ReadKey::Object(key("decisive")), ReadKey::Object(key("worker"))]]);
}

#[test]
fn a_step_that_is_let_through_commits_a_slice_that_fits_the_time_it_is_given() {
    let step = |wake: &super::super::Wake, cx: &mut Context<'_>| {
        if &*wake.key.name != "many" {
            return;
        }
        let found = cx.objects(ConfigMap::RESOURCE, Some("default")).len();
        (found..200).for_each(|index| cx.create(&map(&format!("made-{index:03}"), "x")));
    };
    let mut world = World::new(|driver| driver.add(Scripted::new("maker", step)));
    world.put("many", "new");
    let mut contradicted = 0;
    let slice = loop {
        let (turn, launched) = world.turn();
        assert_ne!(turn, Turn::Idle, "the step has given up");
        if let Some(slice) = launched.iter().find(|(_, reservation)| reservation.is_some()) {
            let slice = slice.0.write.changes.len();
            world.settle(launched);
            break slice;
        }
        if !launched.is_empty() {
            contradicted += 1;
            world.put("other", &contradicted.to_string());
            world.settle(launched);
        }
    };
    assert_eq!(slice, RESERVED_CHANGES_MAX);
    world.run_to_rest();
    assert_eq!(world.values().len(), 200, "the rest follows");
}

#[test]
fn a_step_that_never_commits_spends_no_event() {
    let step = |wake: &super::super::Wake, cx: &mut Context<'_>| {
        if &*wake.key.name == "chatty" {
            cx.objects(ConfigMap::RESOURCE, None);
            let text = cx.random().next_u64().to_string();
            cx.event(EventKind::Normal, "Said", text);
            finish(cx);
        }
    };
    let mut world = World::new(|driver| driver.add(Scripted::new("talker", step)));
    world.put("chatty", "new");
    let mut contradicted = 0;
    // More often than the burst of Events one object has.
    while contradicted < 40 {
        let (_, launched) = world.turn();
        if !launched.is_empty() {
            contradicted += 1;
            world.put("other", &contradicted.to_string());
            for (commit, reservation) in launched {
                reservation.into_iter().for_each(|reservation| world.sequencer.release(reservation));
                world.settle(vec![(commit, None)]);
            }
        }
    }
    world.run_to_rest();
    let events = world.snapshot().count(ResourceType::new("", "events"));
    assert!(events > 0, "steps that were refused have spent what the one that is not has to say");
}

#[test]
fn a_namespace_that_refuses_at_commit_says_how_much_before_it_was_accepted() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = heard.clone();
    let step = move |wake: &super::super::Wake, cx: &mut Context<'_>| {
        if let Some(refusal) = cx.refusal() {
            told.lock().unwrap().push((refusal.verb, refusal.resource, refusal.accepted_before));
            return;
        }
        if &*wake.key.name == "source" {
            cx.create(&map("first", "x"));
            let mut there = map("second", "x");
            there.metadata.namespace = Some("going".to_owned());
            cx.create(&there);
        }
    };
    let mut world = World::new(|driver| driver.add(Scripted::new("spreader", step)));
    world.create_namespace("going");
    world.put("source", "new");
    let launched = loop {
        let (_, launched) = world.turn();
        if !launched.is_empty() {
            break launched;
        }
    };
    world.delete(ResourceType::new("", "namespaces"), "going");
    world.settle(launched);
    world.run_to_rest();
    assert_eq!(heard.lock().unwrap().first(), Some(&(WriteVerb::Create, ConfigMap::RESOURCE, 1)));
}

/// A step that only starts is told of to nobody; one that was refused has something to tell.
#[test]
fn what_is_refused_in_the_first_step_after_a_restart_is_told() {
    let step = |_: &super::super::Wake, cx: &mut Context<'_>| {
        if let Some(refusal) = cx.refusal().map(|refusal| refusal.status.message.clone()) {
            cx.trace().waiting_for("the namespace is there", refusal, None);
            return;
        }
        let mut elsewhere = map("made", "x");
        elsewhere.metadata.namespace = Some("missing".to_owned());
        cx.create(&elsewhere);
    };
    let mut world = World::with_object("source");
    world.restart(|driver| driver.add(Scripted::new("maker", step)));
    world.run_to_rest();
    let decisions = world.sequencer.reader().decisions(&key("source")).unwrap();
    let unmet: Vec<_> = decisions.iter().flat_map(|it| &it.unmet).map(|unmet| &*unmet.guard).collect();
    assert_eq!(unmet, ["the namespace is there"]);
}

#[test]
fn an_operator_installed_in_place_of_another_takes_over_and_one_removed_does_nothing_more() {
    let say = |what: &'static str| {
        Scripted::new("writer", move |_, cx| {
            let Some(found) = cx.primary::<ConfigMap>() else { return };
            let mut written = (*found).clone();
            written.data = Some([("k".to_owned(), what.to_owned())].into());
            cx.update(&written);
        })
    };
    let mut world = World::new(|driver| driver.add(say("one")));
    world.put("a", "new");
    world.run_to_rest();
    assert_eq!(world.values(), [("a".to_owned(), "one".to_owned())]);
    world.put("b", "new");
    let (_, under_way) = world.turn();
    world.install(say("two"));
    world.settle(under_way);
    world.run_to_rest();
    assert!(world.values().iter().all(|(_, value)| value == "two"), "{:?}", world.values());
    assert_eq!(world.operators.figures().count(), 1);
    assert!(world.operators.remove("writer"));
    assert!(!world.operators.remove("writer"));
    world.put("c", "new");
    world.run_to_rest();
    assert!(world.values().contains(&("c".to_owned(), "new".to_owned())));
}
