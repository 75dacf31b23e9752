//! The cluster as it was, from the log.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::super::fixture::*;
use super::super::{MemoryDisk, Snapshot, WatchError, Write};
use crate::object::Revision;

/// What is told of a snapshot: the maps there are, and what they hold.
fn told(snapshot: &Snapshot) -> Vec<(String, Value)> {
    let maps = snapshot.list(CONFIG_MAPS, None, None);
    maps.map(|map| (map.key().name.to_string(), map.value()["data"]["k"].clone())).collect()
}

#[test]
fn every_revision_the_log_reaches_back_to_is_as_it_was() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    let at_head = |snapshot: &Snapshot, at: &str| snapshot.get(&key(CONFIG_MAPS, at)).unwrap().revision();
    let acts: [fn(&Snapshot, Revision) -> Write; 7] = [
        |_, _| create(config_map("n/a", "1")),
        |_, _| create(config_map("n/b", "1")),
        |_, at| update(config_map("n/a", "2"), at),
        |_, at| update(config_map("n/a", "3"), at),
        |_, at| remove(key(CONFIG_MAPS, "n/a"), at),
        |_, _| create(config_map("n/a", "4")),
        |_, at| update(config_map("n/a", "5"), at),
    ];
    let mut kept = vec![sequencer.snapshot()];
    for (act, ms) in acts.iter().zip(1..) {
        let before = sequencer.snapshot();
        let a = before.get(&key(CONFIG_MAPS, "n/a")).map_or(Revision(0), |_| at_head(&before, "n/a"));
        let write = act(&before, a);
        commit(&mut sequencer, vec![write], ms).remove(0).1.unwrap();
        kept.push(sequencer.snapshot());
    }
    // From memory, and from what is on the disk.
    for reader in [sequencer.reader(), open(&disk).reader()] {
        let mut rewind = reader.rewind();
        for expected in kept.iter().rev() {
            let found = rewind.to(expected.revision()).unwrap();
            assert_eq!(found.revision(), expected.revision());
            assert_eq!(told(&found), told(expected), "at {}", expected.revision());
        }
        let second = reader.rewind().to(Revision(3)).unwrap();
        assert_eq!(second.changed_at(&key(CONFIG_MAPS, "n/b")), Some(at(2)), "and when it was changed");
        let fourth = reader.rewind().to(Revision(6)).unwrap();
        assert_eq!(fourth.changed_at(&key(CONFIG_MAPS, "n/a")), Some(at(6)));
        assert_eq!(at_head(&fourth, "n/a"), Revision(6));
    }
}

#[test]
fn what_the_log_no_longer_holds_passes_for_nothing_else() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    commit(&mut sequencer, vec![create(config_map("n/a", "1")), create(config_map("n/b", "1"))], 0);
    commit(&mut sequencer, vec![update(config_map("n/a", "2"), Revision(1))], 400_000);
    commit(&mut sequencer, vec![update(config_map("n/a", "3"), Revision(3))], 402_000);
    let reader = open(&disk).reader();
    let past = reader.rewind().to(Revision(2)).unwrap();
    let why = past.get(&key(CONFIG_MAPS, "n/a")).unwrap().decode::<ConfigMap>().unwrap_err();
    assert!(why.source.to_string().contains("no longer holds it"), "{why}");
    assert!(past.get(&key(CONFIG_MAPS, "n/b")).unwrap().decode::<ConfigMap>().is_ok());
    assert!(matches!(reader.rewind().to(Revision(1)), Err(WatchError::Compacted(_))));
}
