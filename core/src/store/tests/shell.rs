//! The thread around the sequencer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::store::fixture::*;
use crate::store::{FjallBackend, Listener, MemoryBackend, MemoryDisk, ReadKey, Settings, Store};

fn clock() -> crate::store::Clock {
    Arc::new(jiff::Timestamp::now)
}

#[test]
fn an_acknowledged_write_is_in_every_later_snapshot() {
    let store = Store::open(MemoryBackend::default(), settings(), clock()).unwrap();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || {
                for index in 0..200 {
                    let at = format!("default/{writer}-{index}");
                    let commit = store.commit_blocking(create(config_map(&at, "x"))).unwrap();
                    let snapshot = store.snapshot();
                    assert!(snapshot.revision() >= commit.revision);
                    assert!(snapshot.get(&key(CONFIG_MAPS, &at)).is_some());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(store.metrics().revision.0, 800);
}

#[test]
fn many_writers_share_their_syncs() {
    const WRITERS: usize = 64;
    const WRITES: usize = 40;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(FjallBackend::open(directory.path()).unwrap(), settings(), clock()).unwrap();
    let before = store.metrics();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || {
                for index in 0..WRITES {
                    store.commit_blocking(create(config_map(&format!("default/{writer}-{index}"), "x"))).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let after = store.metrics();
    let (writes, syncs) = (after.writes - before.writes, after.syncs - before.syncs);
    assert_eq!(writes, (WRITERS * WRITES) as u64);
    assert!(syncs < writes / 8, "{syncs} syncs for {writes} writes");
    store.close();
}

#[test]
fn a_closed_store_answers_everybody_and_lets_go_of_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Store::open(FjallBackend::open(directory.path()).unwrap(), settings(), clock()).unwrap();
    let store = open();
    let reader = store.reader().clone();
    let answers: Vec<_> =
        (0..10).map(|index| store.commit(create(config_map(&format!("default/{index}"), "x")))).collect();
    store.close();
    drop(answers);
    let again = open();
    assert_eq!(again.snapshot().count(CONFIG_MAPS), 10, "what was queued was committed");
    assert_eq!(reader.snapshot().count(CONFIG_MAPS), 10);
    assert!(reader.decisions(&key(NODES, "a")).is_err(), "the disk is no longer this reader's");
    again.close();
}

#[test]
fn a_store_expires_objects_by_one_timer() {
    let disk = MemoryDisk::default();
    let now = Arc::new(AtomicI64::new(0));
    let telling = now.clone();
    let settings = Settings { times_to_live: [(EVENTS, Duration::from_millis(20))].into(), ..settings() };
    let store = Store::open(disk.restart(), settings, Arc::new(move || at(telling.load(Ordering::SeqCst)))).unwrap();
    let event = draft(EVENTS, "default/e", serde_json::json!({}), serde_json::json!({}), Vec::new());
    let gone = store.listen(EVENTS);
    store.commit_blocking(create(event)).unwrap();
    gone.wait();
    let gone = store.listen(EVENTS);
    now.store(20, Ordering::SeqCst);
    assert!(gone.wait_timeout(Duration::from_secs(10)).is_some(), "the event did not expire");
    assert_eq!(store.snapshot().count(EVENTS), 0);
    store.close();
}

#[test]
fn a_reservation_over_the_handle_lets_others_wait_and_then_go_on() {
    let store = Store::open(MemoryBackend::default(), settings(), clock()).unwrap();
    let held = store.reserve(vec![ReadKey::Collection(CONFIG_MAPS, None)]).unwrap();
    let waiting = store.clone();
    let other = std::thread::spawn(move || waiting.commit_blocking(create(config_map("default/other", "x"))));
    let first = store.commit_reserved(create(config_map("default/first", "x")), held).unwrap();
    assert!(first.revision.0 <= 2);
    assert!(other.join().unwrap().is_ok());
    store.close();
}
