//! What operators do to the world: committed with the step, run at least once, told to the next step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::super::{Command, Context, Driver, EffectState, Turn, Wake};
use super::fixture::{Scripted, World, key};
use crate::resource::EFFECTS;
use crate::store::{Crash, Refusal};

/// The world beyond the store: which letters were sent, by key, and how often.
type Post = Arc<Mutex<BTreeMap<String, u32>>>;

/// Sends a letter for its ConfigMap, and writes the answer into it.
fn correspond(_: &Wake, cx: &mut Context<'_>) {
    let Some(found) = cx.primary::<ConfigMap>() else { return };
    let EffectState::Done(answer) = cx.effect("send", "greeting", json!({"to": found.metadata.name})) else { return };
    let mut told = (*found).clone();
    told.data = Some([("k".to_owned(), answer.as_str().unwrap_or_default().to_owned())].into());
    cx.update(&told);
}

/// An operator whose letters are refused so many times before one is taken.
fn correspondent(post: &Post, refusals: u32) -> Scripted {
    let post = post.clone();
    Scripted::new("correspondent", correspond).declaring(move |declaration| {
        declaration.effecting("send", move |request| {
            if request.tries < refusals {
                return Err(format!("the box is full, try {}", request.tries));
            }
            *post.lock().unwrap().entry(format!("{} {}", request.key, request.input["to"])).or_default() += 1;
            Ok(json!("welcome"))
        })
    })
}

/// Turns until an effect is handed out, committing on the way.
fn until_handed_out(world: &mut World) {
    for _ in 0..100 {
        let (_, launched) = world.turn();
        world.settle(launched);
        if !world.effects.is_empty() {
            return;
        }
    }
    panic!("no effect is handed out");
}

fn sent(post: &Post) -> Vec<u32> {
    post.lock().unwrap().values().copied().collect()
}

#[test]
fn an_effect_is_committed_with_its_step_run_once_and_told_to_the_next_step() {
    let post = Post::default();
    let mut world = World::new(|driver| driver.add(correspondent(&post, 0)));
    world.put("a", "new");
    until_handed_out(&mut world);
    assert_eq!((world.snapshot().count(EFFECTS), sent(&post).len()), (1, 0), "committed before it is run");
    world.run_effects();
    world.run_to_rest();
    assert_eq!((sent(&post), world.values()), (vec![1], vec![("a".to_owned(), "welcome".to_owned())]));
    let decisions = world.sequencer.reader().decisions(&key("a")).unwrap();
    let effects: Vec<_> = decisions.iter().flat_map(|it| &it.commands).filter(|it| it.verb == "effect").collect();
    assert!(effects.iter().all(|it| it.detail == "send greeting" && it.revision.is_some()) && effects.len() == 1);
    assert!(decisions[0].unmet.iter().any(|it| it.guard.contains("send greeting")), "{:?}", decisions[0].unmet);
    let told = decisions.iter().flat_map(|it| &it.wake).filter(|reason| reason.cause.starts_with("effects.sampan.dev"));
    assert!(told.count() > 0, "why tells what woke the step after");
}

#[test]
fn an_effect_outlives_a_crash_before_its_commit_while_it_runs_and_after_it() {
    for (when, times) in [("before its commit", 1), ("before it is run", 1), ("before it is told", 2), ("after", 1)] {
        let post = Post::default();
        let add = |driver: &mut Driver| driver.add(correspondent(&post, 0));
        let mut world = World::new(add);
        world.put("a", "new");
        match when {
            "before its commit" => {
                let launched = loop {
                    let (_, launched) = world.turn();
                    if !launched.is_empty() {
                        break launched;
                    }
                };
                world.disk.crash_next(Crash::BeforeDurable);
                world.settle(launched);
            }
            "before it is run" => until_handed_out(&mut world),
            "before it is told" => {
                until_handed_out(&mut world);
                world.effects.drain(..).for_each(|effect| drop(effect.perform()));
            }
            _ => {
                until_handed_out(&mut world);
                world.run_effects();
                world.run_to_rest();
            }
        }
        world.restart(add);
        for _ in 0..3 {
            world.run_to_rest();
            world.run_effects();
        }
        world.run_to_rest();
        assert_eq!((sent(&post), world.values()[0].1.as_str()), (vec![times], "welcome"), "a crash {when}");
    }
}

#[test]
fn an_effect_that_fails_is_tried_again_later_and_says_what_it_failed_with() {
    let post = Post::default();
    let add = |driver: &mut Driver| driver.add(correspondent(&post, 2));
    let mut world = World::new(add);
    world.put("a", "new");
    until_handed_out(&mut world);
    world.run_effects();
    world.run_to_rest();
    let record = world.snapshot().list(EFFECTS, None, None).next().unwrap().value();
    assert_eq!(record["status"]["error"], "the box is full, try 0");
    let decisions = world.sequencer.reader().decisions(&key("a")).unwrap();
    let unmet = decisions.last().unwrap().unmet.iter().map(|it| it.detail.clone()).collect::<Vec<_>>().concat();
    assert!(unmet.contains("the box is full"), "{unmet}");
    for _ in 0..2 {
        assert_eq!(world.turn().0, Turn::Idle, "it waits before it is tried again");
        world.now = world.operators.next_deadline().expect("a timer brings it back");
        until_handed_out(&mut world);
        world.run_effects();
        world.run_to_rest();
    }
    assert_eq!((sent(&post), world.values()[0].1.as_str()), (vec![1], "welcome"));
}

#[test]
fn what_came_of_an_effect_is_written_though_somebody_sets_the_clock_back() {
    let post = Post::default();
    let mut world = World::new(|driver| driver.add(correspondent(&post, 0)));
    world.put("a", "new");
    until_handed_out(&mut world);
    world.run_effects();
    world.now = world.now.checked_sub(jiff::SignedDuration::from_hours(1)).unwrap();
    world.run_to_rest();
    assert_eq!((sent(&post), world.values()[0].1.as_str()), (vec![1], "welcome"));
}

#[test]
fn a_store_that_takes_no_outcome_is_asked_again_after_a_pause() {
    for refusal in [Refusal::Overloaded, Refusal::Unavailable("full".into()), Refusal::TooManyChanges { found: 1 }] {
        let post = Post::default();
        let mut world = World::new(|driver| driver.add(correspondent(&post, 0)));
        world.put("a", "new");
        until_handed_out(&mut world);
        world.run_effects();
        let (_, launched) = world.turn();
        let [(commit, _)] = launched.as_slice() else { panic!("the outcome is to be written") };
        world.operators.settled(commit.ticket, Err(&refusal), world.now);
        let (_, launched) = world.turn();
        assert!(launched.iter().all(|(commit, _)| commit.key.resource != EFFECTS), "{refusal}: not at once");
        world.settle(launched);
        world.now = world.operators.next_deadline().expect("a timer brings it back");
        world.run_to_rest();
        assert_eq!((sent(&post), world.values()[0].1.as_str()), (vec![1], "welcome"), "{refusal}");
    }
}

#[test]
fn an_effect_that_was_committed_is_run_though_its_primary_goes() {
    let post = Post::default();
    let mut world = World::new(|driver| driver.add(correspondent(&post, 0)));
    world.put("a", "new");
    until_handed_out(&mut world);
    let record = world.snapshot().list(EFFECTS, None, None).next().unwrap().key().clone();
    world.delete(<ConfigMap as super::super::Kind>::RESOURCE, "a");
    world.delete(EFFECTS, &record.name);
    assert_eq!(world.snapshot().count(EFFECTS), 1, "it stays until it is done");
    world.run_effects();
    world.run_to_rest();
    assert_eq!((sent(&post), world.snapshot().count(EFFECTS)), (vec![1], 0));
}

#[test]
fn one_operators_effects_that_hang_keep_no_other_operators_waiting_and_panics_are_errors() {
    let post = Post::default();
    let hanging = Scripted::new("a-hanging", |_, cx| {
        cx.effect("hang", "once", json!(null));
    });
    let hanging = hanging.declaring(|declaration| declaration.effecting("hang", |_| panic!("gave up")));
    let mut world = World::new(|driver| {
        driver.add(hanging);
        driver.add(correspondent(&post, 0));
    });
    (0..20).for_each(|index| world.put(&format!("m{index}"), "new"));
    world.run_to_rest();
    let by = |world: &World, name: &str| world.effects.iter().filter(|run| run.request.operator == name).count();
    let most = super::super::EFFECTS_PER_OPERATOR_MAX;
    assert_eq!((by(&world, "a-hanging"), by(&world, "correspondent")), (most, most));
    let hangs = world.effects.iter().find(|run| run.request.operator == "a-hanging").unwrap();
    assert_eq!(hangs.perform(), Err("it panicked: gave up".to_owned()));
}

#[test]
fn an_effect_nobody_declared_voids_the_step_and_one_forgotten_may_be_asked_for_anew() {
    let mut world = World::new(|driver| {
        driver.add(Scripted::new("eager", |_, cx| {
            cx.effect("unknown", "x", json!(1));
        }));
    });
    world.put("a", "new");
    world.run_to_rest();
    let fault = world.operators.last_step().and_then(|step| step.fault.clone()).unwrap_or_default();
    assert!(fault.contains("does not declare"), "{fault}");

    let post = Post::default();
    let sends = post.clone();
    let forgetful = Scripted::new("forgetful", |wake, cx| {
        if cx.primary::<ConfigMap>().is_none() {
            return;
        }
        let asks_anew = wake.reasons.iter().any(|reason| reason.cause.contains("configmaps"));
        match cx.effect("send", "x", json!({"to": "all"})) {
            EffectState::Done(_) if asks_anew => cx.forget_effect("send", "x"),
            _ => cx.wake_after(Duration::from_hours(1)),
        }
        assert!(cx.commands().iter().all(|command| !matches!(command, Command::Update { .. })));
    });
    let forgetful = forgetful.declaring(move |declaration| {
        declaration.effecting("send", move |request| {
            *sends.lock().unwrap().entry(request.key.clone()).or_default() += 1;
            Ok(json!("sent"))
        })
    });
    let mut world = World::new(|driver| driver.add(forgetful));
    world.put("a", "new");
    for value in ["new", "again"] {
        world.put("a", value);
        for _ in 0..4 {
            world.run_to_rest();
            world.run_effects();
        }
    }
    assert_eq!(sent(&post), [2]);
}
