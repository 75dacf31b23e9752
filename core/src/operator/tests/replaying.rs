//! Decisions made again: by the operator that made them, and by one that has changed meanwhile.

use k8s_openapi::api::core::v1::ConfigMap;

use super::super::{Context, Driver, Wake, WriteVerb};
use super::fixture::{Scripted, World, driver, key};
use crate::object::Revision;
use crate::replay::{Again, Replayed, replay};
use crate::store::LOG_KEPT;

/// Greets a map that says it is new, and makes another beside it.
fn greeter(greeting: &'static str) -> Scripted {
    let greet = move |_: &Wake, cx: &mut Context<'_>| {
        let Some(found) = cx.primary::<ConfigMap>() else { return };
        let is_new = found.data.as_ref().is_some_and(|data| data["k"] == "new");
        if !is_new {
            return;
        }
        let mut greeted = (*found).clone();
        greeted.data = Some([("k".to_owned(), greeting.to_owned())].into());
        cx.update(&greeted);
        let mut beside = ConfigMap::default();
        beside.metadata.generate_name = Some("beside-".to_owned());
        beside.metadata.namespace = Some("default".to_owned());
        cx.create(&beside);
    };
    Scripted::new("greeter", greet).declaring(|declaration| declaration.writing::<ConfigMap>(WriteVerb::Create))
}

/// What comes of making the decisions about `a` again with other operators.
fn replayed(add: impl FnOnce(&mut Driver), to: Option<Revision>) -> Vec<Replayed> {
    let mut world = World::new(|driver| driver.add(greeter("hello")));
    for _ in 0..2 {
        world.put("a", "new");
        world.run_to_rest();
    }
    world.put("a", "other");
    world.run_to_rest();
    replay(&world.sequencer.reader(), driver(&world.gateway(), add), &key("a"), to).unwrap()
}

fn differences(replayed: &[Replayed]) -> Vec<String> {
    let of = |replayed: &Replayed| match &replayed.again {
        Again::Same => Vec::new(),
        Again::Otherwise { differences } => differences.clone(),
        Again::Unknown { because } => vec![format!("unknown: {because}")],
    };
    replayed.iter().flat_map(of).collect()
}

#[test]
fn the_same_operator_decides_the_same_though_names_are_drawn_anew() {
    let replayed = replayed(|driver| driver.add(greeter("hello")), None);
    assert_eq!(differences(&replayed), Vec::<String>::new());
    let commands: Vec<usize> = replayed.iter().map(|it| it.decision.commands.len()).collect();
    assert_eq!(commands, [2, 2], "{replayed:#?}");
}

#[test]
fn only_decisions_up_to_a_revision_are_made_again() {
    let all = replayed(|driver| driver.add(greeter("hello")), None);
    let first = Revision(all[0].decision.snapshot);
    assert_eq!(replayed(|driver| driver.add(greeter("hello")), Some(first)).len(), 1);
}

#[test]
fn one_that_has_changed_is_told_by_what_it_writes_and_by_what_it_leaves() {
    let other = differences(&replayed(|driver| driver.add(greeter("good day")), None));
    let field = r#"configmaps/default/a: data.k is "good day", and was "hello""#;
    assert_eq!(other, [field, field]);
    let idle = Scripted::new("greeter", |_, cx| drop(cx.primary::<ConfigMap>()));
    let idle = differences(&replayed(|driver| driver.add(idle), None));
    assert!(idle[0].contains("not commanded again: update configmaps/default/a"), "{idle:?}");
}

#[test]
fn what_nobody_here_decided_is_not_made_again() {
    let unknown = differences(&replayed(|_| (), None));
    assert_eq!(
        unknown[0],
        "unknown: greeter is no operator of this binary, and no plugin's program is asked about the past"
    );
}

/// What comes of making decisions again that looked at a neighbour the log no longer holds as it was then.
fn replayed_beside_what_is_lost(
    look: impl Fn(&mut Context<'_>) -> String + Clone + Send + Sync + 'static,
) -> Vec<String> {
    let neighbourly = move |_: &Wake, cx: &mut Context<'_>| {
        let Some(found) = cx.primary::<ConfigMap>().filter(|found| found.metadata.name.as_deref() == Some("a")) else {
            return;
        };
        let seen = look(cx);
        if found.data.as_ref().is_some_and(|data| data["k"] != seen) {
            let data = Some([("k".to_owned(), seen)].into());
            cx.update(&ConfigMap { data, ..(*found).clone() });
        }
    };
    let operator = move || Scripted::new("neighbourly", neighbourly.clone());
    let mut world = World::new(|driver| driver.add(operator()));
    world.put("b", "first");
    world.run_to_rest();
    // What changed before is trimmed with the changes after.
    for (name, pause) in [("c", LOG_KEPT * 2), ("d", LOG_KEPT * 2)] {
        world.now = world.now.checked_add(pause).unwrap();
        world.put(name, "late");
    }
    world.put("a", "new");
    world.run_to_rest();
    world.put("b", "second");
    world.run_to_rest();
    let add = |driver: &mut Driver| driver.add(operator());
    // What memory still holds is not lost.
    world.restart(add);
    differences(&replay(&world.sequencer.reader(), driver(&world.gateway(), add), &key("a"), None).unwrap())
}

#[test]
fn what_rests_on_what_is_lost_is_told_as_unknown_however_it_was_looked_at() {
    let unknown = "unknown: the log no longer holds all it looked at as it was";
    let by_value = |cx: &mut Context<'_>| {
        let neighbour = cx.object(&key("b")).unwrap();
        neighbour.value().pointer("/data/k").and_then(|value| value.as_str()).unwrap_or("nothing").to_owned()
    };
    assert_eq!(replayed_beside_what_is_lost(by_value), [unknown]);
    let decoded = |cx: &mut Context<'_>| {
        let neighbour = cx.object(&key("b")).unwrap().decode::<ConfigMap>().ok();
        neighbour.and_then(|map| map.data.as_ref()?.get("k").cloned()).unwrap_or_else(|| "nothing".to_owned())
    };
    assert_eq!(replayed_beside_what_is_lost(decoded), [unknown]);
    let by_time = |cx: &mut Context<'_>| cx.changed_at(&key("b")).unwrap().as_second().to_string();
    assert_eq!(replayed_beside_what_is_lost(by_time), [unknown]);
    let by_name = |cx: &mut Context<'_>| cx.object(&key("b")).map_or("", |_| "there").to_owned();
    assert_eq!(replayed_beside_what_is_lost(by_name), Vec::<String>::new(), "that it is there is known");
}
