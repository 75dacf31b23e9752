//! A thread the process cannot be without panics: the process ends and says so, instead of living on without it.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::process::{Command, Stdio};
use std::sync::Arc;

use sampan_core::Timestamp;
use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{Gateway, NoWebhooks, SystemAuthorizer};
use sampan_core::operator::{Driver, Operators};
use sampan_core::resource::Registry;
use sampan_core::store::{Clock, MemoryDisk, Settings, Store};
use sampan_core::vital::PANICKED;

const BROKEN: &str = "SAMPAN_VITAL_BROKEN";

/// A clock that panics on the thread of that name.
fn broken_on(thread: &str) -> Clock {
    let thread = thread.to_owned();
    Arc::new(move || {
        assert_ne!(std::thread::current().name(), Some(thread.as_str()), "the clock is broken");
        Timestamp::now()
    })
}

/// The process that loses a thread. It would end well if nobody minded.
#[test]
#[ignore = "run by the test below as a process of its own"]
fn a_process_that_loses_a_thread() {
    let Ok(thread) = std::env::var(BROKEN) else { return };
    let clock = broken_on(&thread);
    let store = Store::open(MemoryDisk::default().restart(), Settings::default(), clock.clone()).unwrap();
    let gateway = Gateway::new(Registry::default(), Box::new(SystemAuthorizer), Vec::new());
    let driver = Driver::new(Arc::new(gateway), Box::new(SeededEntropy::new(1)));
    Operators::start(driver, store.clone(), clock, Arc::new(NoWebhooks)).stop();
    store.close();
}

#[test]
fn a_process_that_loses_a_thread_it_cannot_be_without_ends_and_names_it() {
    for thread in ["store", "operators"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "a_process_that_loses_a_thread", "--nocapture"])
            .env(BROKEN, thread)
            .stdout(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(PANICKED), "{thread}: {said}");
        assert!(said.contains(&format!("the {thread} thread has panicked")), "{thread}: {said}");
    }
}
