//! What operators hear of, and since when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;

use super::super::Context;
use super::fixture::{Scripted, World, key};
use crate::object::Object;

/// Whether the first letter of the value differs: nobody heeds the rest.
fn first_letter_differs(before: &Object, after: &Object) -> bool {
    let letter = |object: &Object| {
        let map = object.decode::<ConfigMap>().unwrap();
        map.data.as_ref().and_then(|data| data.get("k")?.chars().next())
    };
    letter(before) != letter(after)
}

#[test]
fn a_change_of_what_nobody_heeds_wakes_nobody() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let look = move |_: &super::super::Wake, cx: &mut Context<'_>| {
        let value = cx.primary::<ConfigMap>().and_then(|map| map.data.clone()?.remove("k"));
        told.lock().unwrap().push(value.unwrap_or_else(|| "gone".to_owned()));
    };
    let operator = Scripted::new("watcher", look).declaring(|it| it.heeding(first_letter_differs));
    let mut world = World::new(|driver| driver.add(operator));
    for value in ["a", "ab", "b", "bc"] {
        world.put("x", value);
        world.run_to_rest();
    }
    world.delete(crate::resource::CONFIG_MAPS, "x");
    world.run_to_rest();
    assert_eq!(*seen.lock().unwrap(), ["a", "b", "gone"]);
}

/// What each step is told of since when everything is heard, while the clock goes on by so many seconds at a time; in seconds
/// after the beginning.
fn heard_since(clock: &[i64]) -> Vec<i64> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    let mut world = World::new(|driver| {
        driver.add(Scripted::new("listener", move |_, cx| {
            told.lock().unwrap().push(cx.hears_since());
            cx.wake_after(Duration::from_secs(10));
        }));
    });
    let begun: Timestamp = world.now;
    world.put("x", "new");
    world.run_to_rest();
    for seconds in clock {
        world.now = world.now.checked_add(SignedDuration::from_secs(*seconds)).unwrap();
        world.operators.wake("listener", &key("x"), world.now);
        world.run_to_rest();
    }
    heard.lock().unwrap().iter().map(|since| since.duration_since(begun).as_secs()).collect()
}

#[test]
fn a_timer_that_comes_much_too_late_tells_that_nothing_was_heard_meanwhile() {
    assert_eq!(heard_since(&[10, 12, 5]), [0, 0, 0, 0]);
    assert_eq!(heard_since(&[10, 3600, 10]), [0, 0, 3610, 3610]);
}

#[test]
fn where_the_clock_is_set_back_the_listening_begins_anew() {
    assert_eq!(heard_since(&[10, -3600]), [0, 0, -3590]);
}

#[test]
fn when_an_object_changed_is_told_by_the_clock_of_the_store_and_survives_a_restart() {
    let mut world = World::new(|_| {});
    world.put("x", "new");
    world.now = world.now.checked_add(SignedDuration::from_millis(12_345)).unwrap();
    world.put("x", "newer");
    let changed_at = world.now;
    assert_eq!(world.snapshot().changed_at(&key("x")), Some(changed_at));
    world.restart(|_| {});
    assert_eq!(world.snapshot().changed_at(&key("x")), Some(changed_at));
}
