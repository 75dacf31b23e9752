//! The thread around the sequencer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::object::Revision;
use crate::store::backend::{Archive, Group};
use crate::store::fixture::*;
use crate::store::{
    Backend, BackendError, Crash, FjallBackend, Listener, MemoryBackend, MemoryDisk, ReadKey, Settings, Store,
};

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

/// Notes what is asked of the disk, and lets a group wait at the gate where there is one.
struct Noting {
    inner: MemoryBackend,
    asked: Arc<Mutex<Vec<&'static str>>>,
    gate: Arc<Mutex<Option<Receiver<()>>>>,
}

impl Noting {
    fn note(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Backend for Noting {
    fn acknowledged(&self) -> Revision {
        self.inner.acknowledged()
    }

    fn append(&mut self, group: Group) -> Result<(), BackendError> {
        self.note("append");
        if let Some(gate) = self.gate.lock().unwrap().take() {
            gate.recv().unwrap();
        }
        self.inner.append(group)
    }

    fn trim(&mut self, floor: Revision) {
        self.inner.trim(floor);
    }

    fn settle(&mut self, acknowledged: Revision) -> Result<(), BackendError> {
        self.note("settle");
        self.inner.settle(acknowledged)
    }

    fn archive(&self) -> Arc<dyn Archive> {
        self.inner.archive()
    }

    fn syncs(&self) -> u64 {
        self.inner.syncs()
    }
}

#[test]
fn under_load_groups_follow_one_another_and_the_mark_is_settled_at_the_end_alone() {
    const WRITES: usize = 24;
    let (asked, gate): (Arc<Mutex<Vec<&'static str>>>, Arc<Mutex<Option<Receiver<()>>>>) = Default::default();
    let backend = Noting { inner: MemoryBackend::default(), asked: asked.clone(), gate: gate.clone() };
    let store = Store::open(backend, settings(), clock()).unwrap();
    let (open, closed) = channel();
    *gate.lock().unwrap() = Some(closed);
    asked.lock().unwrap().clear();
    let (tell, told) = channel();
    let commit = |write| {
        let tell = tell.clone();
        store.commit_with(write, None, move |answer| tell.send(answer.is_ok()).unwrap());
    };
    commit(create(config_map("default/first", "x")));
    let many = |index: usize| {
        let changes = (0..500).flat_map(|part| create(config_map(&format!("default/{index}-{part}"), "x")).changes);
        crate::store::Write { changes: changes.collect(), ..create(config_map("default/unused", "x")) }
    };
    (0..WRITES).for_each(|index| commit(many(index)));
    open.send(()).unwrap();
    store.close();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [true; WRITES + 1]);
    let asked = asked.lock().unwrap();
    let groups = asked.iter().filter(|what| **what == "append").count();
    assert!(groups >= 3, "more than one group's worth was queued: {asked:?}");
    assert!(asked[..groups].iter().all(|what| *what == "append"), "{asked:?}");
}

#[test]
fn whoever_asks_a_store_that_is_closing_is_answered() {
    let store = Store::open(MemoryBackend::default(), settings(), clock()).unwrap();
    let held = store.reserve(vec![ReadKey::Collection(CONFIG_MAPS, None)]).unwrap();
    let (tell, told) = channel();
    for index in 0..3 {
        let tell = tell.clone();
        store.commit_with(create(config_map(&format!("default/{index}"), "x")), None, move |answer| {
            tell.send(answer.is_ok()).unwrap();
        });
    }
    store.close();
    store.release(held);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [true; 3], "what waits for a reservation is committed");
    store.commit_with(create(config_map("default/late", "x")), None, move |answer| tell.send(answer.is_ok()).unwrap());
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [false]);
}

#[test]
fn a_store_whose_disk_fails_says_why_it_takes_no_writes() {
    let disk = MemoryDisk::default();
    let store = Store::open(disk.restart(), settings(), clock()).unwrap();
    store.commit_blocking(create(config_map("default/before", "x"))).unwrap();
    assert_eq!(store.problem(), None);
    disk.crash_next(Crash::BeforeDurable);
    let refused = store.commit_blocking(create(config_map("default/after", "x"))).unwrap_err();
    let problem = store.problem().expect("the store is halted");
    assert!(problem.starts_with("the store takes no writes: ") && refused.to_string() == problem, "{problem}");
    assert_eq!(store.snapshot().count(CONFIG_MAPS), 1, "reads go on");
    store.close();
}
