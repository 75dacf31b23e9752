//! What objects are found and counted by follows the binary that opens the store, not the one that wrote it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::object::{Revision, SHARE, written_share};
use crate::resource::{Registry, builtin};
use crate::store::fixture::*;
use crate::store::{
    CHANGES_MAX, Crash, IndexKey, IndexValues, Indexing, MemoryBackend, MemoryDisk, PLACE, Precondition, Sequencer,
    Settings, Snapshot,
};

/// More than are written again at once.
const PODS_THERE: usize = 700;

fn with(indexing: Indexing) -> Settings {
    Settings { indexing: Some(indexing), ..settings() }
}

fn open_with(disk: &MemoryDisk, indexing: Indexing) -> Sequencer<MemoryBackend> {
    Sequencer::open(disk.restart(), with(indexing)).unwrap()
}

fn shipped() -> Indexing {
    let mut registry = Registry::default();
    builtin().into_iter().for_each(|definition| registry.register(definition));
    registry.indexing()
}

/// A store of pods on one node, which an older binary found by other fields and did not count.
fn written_otherwise() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    let pod = |number: usize| {
        let fields = vec![("host", "n".to_owned())];
        let spec = json!({"nodeName": "n", "containers": [{"resources": {"requests": {"cpu": "1"}}}]});
        draft(PODS, &format!("default/{number}"), json!({}), json!({"spec": spec}), fields)
    };
    for numbers in (0..PODS_THERE).collect::<Vec<_>>().chunks(CHANGES_MAX) {
        let pods = numbers.iter().map(|number| change(pod(*number), Precondition::Absent));
        must(&mut sequencer, write(pods.collect()));
    }
    must(&mut sequencer, create(config_map("default/stays", "as it is")));
    disk
}

/// How many pods are found on the node, and how much CPU they take of it.
fn found(snapshot: &Snapshot) -> (usize, i64) {
    let on_node = IndexKey::Field { resource: PODS, field: PLACE, value: "n".into() };
    (snapshot.index(&on_node).count(), snapshot.sums(PODS, "n").map_or(0, |sums| sums.get("cpu")))
}

#[test]
fn a_store_another_binary_wrote_opens_as_this_one_finds_and_counts() {
    let disk = written_otherwise();
    assert_eq!(found(&open(&disk).snapshot()), (0, 0), "it was written otherwise");
    let indexing = shipped();
    let sequencer = open_with(&disk, indexing.clone());
    let whole = (PODS_THERE, 1000 * i64::try_from(PODS_THERE).unwrap());
    assert_eq!(found(&sequencer.snapshot()), whole);
    assert_eq!(sequencer.snapshot().revision(), Revision(PODS_THERE as u64 + 1), "nothing has changed");
    drop(sequencer);
    assert_eq!(found(&open(&disk).snapshot()), whole, "and was written again");
}

#[test]
fn what_was_read_this_way_is_not_read_again() {
    let read = Arc::new(AtomicUsize::new(0));
    let counting = |digest: &str, node: &'static str| {
        let read = read.clone();
        let values = move || vec![(PLACE, node.to_owned()), (SHARE, written_share(node, [("cpu", 1)]))];
        Indexing::new(
            digest,
            Arc::new(move |resource, _| {
                read.fetch_add(1, Ordering::SeqCst);
                (resource == PODS).then(|| -> IndexValues { values() })
            }),
        )
    };
    let disk = written_otherwise();
    let opened = |digest: &str, node| {
        let before = read.load(Ordering::SeqCst);
        let snapshot = open_with(&disk, counting(digest, node)).snapshot();
        (read.load(Ordering::SeqCst) - before, found(&snapshot).0)
    };
    assert_eq!(opened("one", "n"), (PODS_THERE + 1, PODS_THERE));
    assert_eq!(opened("one", "n"), (0, PODS_THERE));
    assert_eq!(opened("two", "m"), (PODS_THERE + 1, 0));
    assert_eq!(opened("one", "n"), (PODS_THERE + 1, PODS_THERE), "back to the binary before");
}

#[test]
fn whoever_is_killed_while_it_writes_again_begins_again() {
    let disk = written_otherwise();
    let indexing = shipped();
    for crash in [Crash::BeforeDurable, Crash::AfterDurable] {
        let backend = disk.restart();
        disk.crash_next(crash);
        assert!(Sequencer::open(backend, with(indexing.clone())).is_err(), "{crash:?}");
    }
    assert_eq!(found(&open_with(&disk, indexing).snapshot()).0, PODS_THERE);
}
