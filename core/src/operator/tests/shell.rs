//! The thread, seen from outside.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;

use super::super::{Driver, Operators};
use super::fixture::{Scripted, World};
use crate::entropy::SeededEntropy;
use crate::gateway::NoWebhooks;
use crate::store::{Clock, Settings, Store};

/// A clock that a test sets, in seconds.
fn clock() -> (Arc<AtomicI64>, Clock) {
    let second = Arc::new(AtomicI64::new(1_767_225_600));
    let read = second.clone();
    (second, Arc::new(move || Timestamp::from_second(read.load(Ordering::SeqCst)).unwrap()))
}

#[test]
fn a_thread_that_hangs_in_a_step_shows_as_stuck_and_is_well_again_afterwards() {
    let (entered, entry) = channel();
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let (second, clock) = clock();
    let world = World::with_object("a");
    let store = Store::open(world.disk.restart(), Settings::default(), clock.clone()).unwrap();
    let mut driver = Driver::new(world.gateway(), Box::new(SeededEntropy::new(1)));
    driver.add(Scripted::new("sleeper", move |_, cx| {
        cx.primary::<ConfigMap>();
        let _ = entered.send(());
        let _ = gate.lock().unwrap().recv();
    }));
    let mut operators = Operators::start(driver, store.clone(), clock, Arc::new(NoWebhooks));
    entry.recv().unwrap();
    let shown = operators.shown();
    assert_eq!(shown.problems(), Vec::<String>::new());
    second.fetch_add(60, Ordering::SeqCst);
    assert!(shown.problems().concat().contains("at one turn for 60 s"), "{:?}", shown.problems());
    drop(release);
    operators.stop();
    assert_eq!(shown.problems(), Vec::<String>::new());
    store.close();
}
