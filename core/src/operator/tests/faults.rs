//! Operators that do what they must not.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;

use super::super::{Context, Turn, Wake};
use super::fixture::{Scripted, World, key};

#[test]
fn an_operator_that_panicked_is_not_stepped_again_by_timers_conflicts_or_a_new_start() {
    let step = |wake: &Wake, cx: &mut Context<'_>| {
        let Some(found) = cx.primary::<ConfigMap>() else { return };
        match found.data.as_ref().and_then(|data| data.get("k")).map(String::as_str) {
            Some("panic") => panic!("on {}", wake.key.name),
            Some("wait") => cx.wake_after(Duration::from_secs(1)),
            _ => {
                let mut written = (*found).clone();
                written.data = Some([("k".to_owned(), "wait".to_owned())].into());
                cx.update(&written);
            }
        }
    };
    let mut world = World::new(|driver| driver.add(Scripted::new("fragile", step)));
    world.put("timed", "wait");
    world.run_to_rest();
    world.put("flying", "new");
    let (_, under_way) = world.turn();
    assert_eq!(under_way.len(), 1);
    world.put("bad", "panic");
    while world.operators.disabled().is_empty() {
        world.turn();
    }
    assert_eq!(world.operators.next_deadline(), None, "a timer goes on");
    world.put("flying", "contradicted");
    world.settle(under_way);
    world.hear();
    assert_eq!((world.turn().0, world.operators.queued()), (Turn::Idle, 0), "a conflict has put it back");
    let (before, snapshot) = (world.operators.figures().next(), world.snapshot());
    let mut driver = (*world.operators).clone();
    driver.start(&snapshot, world.now);
    driver.wake("fragile", &key("timed"), world.now);
    assert_eq!((driver.queued(), driver.figures().next()), (0, before));
}

#[test]
fn a_panic_while_asked_what_concerns_it_disables_the_operator_and_nobody_else() {
    let fragile = || {
        Scripted::new("fragile", |_, _| {}).declaring(|declaration| {
            declaration.concerned_with(|object| {
                assert_ne!(&*object.key().name, "bad", "cannot think of it");
                true
            })
        })
    };
    let sound = || {
        Scripted::new("sound", |_, cx| {
            let Some(found) = cx.primary::<ConfigMap>() else { return };
            let mut written = (*found).clone();
            written.data = Some([("k".to_owned(), "done".to_owned())].into());
            cx.update(&written);
        })
    };
    let add = move |driver: &mut super::super::Driver| {
        driver.add(fragile());
        driver.add(sound());
    };
    let mut world = World::new(add);
    world.run_to_rest();
    world.put("bad", "new");
    world.run_to_rest();
    let disabled: Vec<_> = world.operators.disabled().iter().map(|one| one.operator).collect();
    assert_eq!((disabled, world.values()[0].1.as_str()), (vec!["fragile"], "done"), "on a change");
    world.restart(add);
    world.run_to_rest();
    let disabled: Vec<_> = world.operators.disabled().iter().map(|one| one.operator).collect();
    assert_eq!(disabled, ["fragile"], "at the start");
}

fn fault_of(step: impl Fn(&Wake, &mut Context<'_>) + Send + Sync + 'static) -> Option<String> {
    let mut world = World::new(|driver| driver.add(Scripted::new("reader", step)));
    world.put("a", "new");
    world.run_to_rest();
    world.operators.last_step().and_then(|step| step.fault.clone())
}

#[test]
fn reads_that_would_escape_the_guard_void_the_step() {
    let check = |step: fn(&Wake, &mut Context<'_>), said: &str| {
        let fault = fault_of(step).unwrap_or_default();
        assert!(fault.contains(said), "{fault:?} does not say {said:?}");
    };
    check(|_, cx| assert!(cx.unguarded().revision().0 > 0), "read without guarding");
    check(|_, cx| drop(cx.dependents()), "objects of every kind");
    check(|_, cx| drop(cx.list::<k8s_openapi::api::core::v1::Pod>(None)), "does not declare to watch");
    assert_eq!(fault_of(|_, cx| drop(cx.list::<ConfigMap>(None))), None);
}
