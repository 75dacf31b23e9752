//! A store on a real disk: what survives, and what is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::store::backend::Row;
use crate::store::fixture::{CONFIG_MAPS, at, config_map, create, key, remove, settings, update, write};
use crate::store::{Sequencer, Snapshot, Store, Ticket};

fn open(directory: &Path) -> Result<Sequencer<FjallBackend>, OpenError> {
    Sequencer::open(FjallBackend::open(directory)?, settings())
}

fn name(index: u64) -> String {
    format!("default/c{index:04}")
}

/// Creates objects `from..to`, one group each, and notes them as acknowledged.
fn fill(directory: &Path, from: u64, to: u64) {
    let mut sequencer = open(directory).unwrap();
    for index in from..to {
        sequencer.submit(create(config_map(&name(index), "value")), Ticket(index));
        assert!(sequencer.commit_group(at(0)).iter().all(|(_, answer)| answer.is_ok()));
    }
    sequencer.settle();
}

fn count(snapshot: &Snapshot) -> usize {
    snapshot.count(CONFIG_MAPS)
}

fn journal_of(directory: &Path) -> PathBuf {
    journal::journals(&directory.join("fjall")).unwrap().pop().unwrap()
}

/// Copies a store, the mark first: what it says was acknowledged must be in a journal copied later. Journals are copied
/// without the space allocated ahead.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if target.extension().is_some_and(|extension| extension == "jnl") {
            fs::write(target, journal::read(&entry.path()).unwrap()).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 0, 20);
    let mut sequencer = open(directory.path()).unwrap();
    let found = sequencer.snapshot().get(&key(CONFIG_MAPS, &name(3))).unwrap().clone();
    sequencer.submit(update(config_map(&name(3), "new"), found.revision()), Ticket(0));
    sequencer.submit(remove(key(CONFIG_MAPS, &name(4)), Revision(5)), Ticket(1));
    assert!(sequencer.commit_group(at(1)).iter().all(|(_, answer)| answer.is_ok()));
    let before = sequencer.snapshot();
    let uid = sequencer.reader().cluster_uid().clone();
    drop(sequencer);

    let sequencer = open(directory.path()).unwrap();
    let after = sequencer.snapshot();
    assert_eq!(after.revision(), Revision(22));
    assert_eq!(count(&after), 19);
    let listed = |snapshot: &Snapshot| -> Vec<_> {
        snapshot.list(CONFIG_MAPS, None, None).map(|object| (object.revision(), object.bytes().clone())).collect()
    };
    assert_eq!(listed(&before), listed(&after));
    assert_eq!(*sequencer.reader().cluster_uid(), uid);
}

#[test]
fn a_store_whose_files_are_deleted_as_it_runs_says_so_and_takes_no_writes() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let mut sequencer = open(&directory).unwrap();
    sequencer.submit(create(config_map(&name(0), "value")), Ticket(0));
    assert!(sequencer.commit_group(at(0)).iter().all(|(_, answer)| answer.is_ok()));
    fs::remove_dir_all(&directory).unwrap();
    sequencer.submit(create(config_map(&name(1), "value")), Ticket(1));
    let refused = sequencer.commit_group(at(10)).pop().unwrap().1.unwrap_err().to_string();
    assert!(refused.contains("its files were deleted while it runs"), "{refused}");
    assert!(sequencer.reader().halted().is_some() && count(&sequencer.snapshot()) == 1, "reads go on");
}

#[test]
fn a_second_process_is_told_that_one_is_running() {
    let directory = tempfile::tempdir().unwrap();
    let running = open(directory.path()).unwrap();
    let refused = open(directory.path()).err().unwrap();
    assert!(matches!(&refused, OpenError::AlreadyRunning { path } if *path == directory.path().display().to_string()));
    drop(running);
    assert!(open(directory.path()).is_ok());
}

#[test]
fn a_flipped_byte_anywhere_in_the_journal_is_an_error_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 0, 12);
    let whole = tempfile::tempdir().unwrap();
    copy(directory.path(), whole.path());
    let image = journal::read(&journal_of(whole.path())).unwrap();
    for offset in (0..image.len()).step_by(53) {
        let damaged = tempfile::tempdir().unwrap();
        copy(whole.path(), damaged.path());
        let journal = journal_of(damaged.path());
        let mut bytes = image.clone();
        bytes[offset] ^= 0x40;
        fs::write(&journal, &bytes).unwrap();
        let refused = open(damaged.path()).err();
        let is_named = matches!(refused, Some(OpenError::JournalDamaged { .. }));
        assert!(is_named, "byte {offset} of {}: {refused:?}", image.len());
        assert_eq!(fs::read(&journal).unwrap(), bytes, "byte {offset}: the journal was touched");
    }
}

#[test]
fn a_torn_last_write_that_nobody_was_told_of_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 0, 5);
    let whole = journal::read(&journal_of(directory.path())).unwrap().len();
    let before = tempfile::tempdir().unwrap();
    copy(directory.path(), before.path());
    // A group of 64 KiB values, of which a page may be missing after a power cut.
    let mut sequencer = open(directory.path()).unwrap();
    for index in 5..9 {
        sequencer.submit(create(config_map(&name(index), &"x".repeat(65_536))), Ticket(index));
    }
    sequencer.commit_group(at(0));
    drop(sequencer);
    let image = journal::read(&journal_of(directory.path())).unwrap();
    let end = image.len();
    let mut images: Vec<Vec<u8>> = (whole + 1..end).step_by(9973).map(|cut| image[..cut].to_vec()).collect();
    for page in (whole / 4096 + 1..end / 4096).step_by(7) {
        let mut holed = image.clone();
        holed[page * 4096..(page + 1) * 4096].fill(0);
        images.push(holed);
    }
    for (number, bytes) in images.iter().enumerate() {
        let torn = tempfile::tempdir().unwrap();
        copy(before.path(), torn.path());
        fs::write(journal_of(torn.path()), bytes).unwrap();
        let sequencer = open(torn.path()).unwrap_or_else(|error| panic!("image {number}: {error}"));
        assert_eq!(count(&sequencer.snapshot()), 5, "image {number}");
        drop(sequencer);
        fill(torn.path(), 5, 7);
        assert_eq!(count(&open(torn.path()).unwrap().snapshot()), 7, "image {number}: it goes on");
    }
}

#[test]
fn a_journal_that_ends_before_what_was_acknowledged_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 0, 5);
    let early = journal::read(&journal_of(directory.path())).unwrap();
    fill(directory.path(), 5, 10);
    fs::write(journal_of(directory.path()), early).unwrap();
    let refused = open(directory.path()).err().unwrap();
    let expected = (Revision(5), Revision(10));
    assert!(
        matches!(refused, OpenError::LostWrites { recovered, acknowledged } if (recovered, acknowledged) == expected),
        "{refused:?}"
    );
}

#[test]
fn an_image_taken_at_any_moment_holds_what_was_acknowledged_before() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(|| at(0));
    let store = Store::open(FjallBackend::open(directory.path()).unwrap(), settings(), clock).unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || {
                for index in 0..50 {
                    let draft = config_map(&format!("default/w{writer}-{index}"), &"y".repeat(2000));
                    store.commit_blocking(create(draft)).unwrap();
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let acknowledged = store.snapshot();
        let image = tempfile::tempdir().unwrap();
        copy(directory.path(), image.path());
        let found = open(image.path()).unwrap_or_else(|error| panic!("{error}"));
        for object in acknowledged.list(CONFIG_MAPS, None, None) {
            assert!(found.snapshot().get(object.key()).is_some(), "{object:?} is missing");
        }
    }
    for writer in writers {
        writer.join().unwrap();
    }
    let metrics = store.metrics();
    assert_eq!(metrics.writes, 400);
    store.close();
    assert!(store.commit_blocking(write(Vec::new())).is_err(), "a closed store refuses");
    assert_eq!(count(&open(directory.path()).unwrap().snapshot()), 400);
}

/// What the log takes on disk once at least `bytes` of it are there: memory that filled up is written in the background.
fn flushed(backend: &FjallBackend, bytes: u64) -> u64 {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let space = backend.tables.log.disk_space();
        if space > bytes {
            return space;
        }
        assert!(std::time::Instant::now() < deadline, "{space} bytes after a minute");
        std::thread::yield_now();
    }
}

#[test]
fn the_log_gives_its_space_back_below_the_floor() {
    const GROUP: u64 = 2000;
    let directory = tempfile::tempdir().unwrap();
    let mut backend = FjallBackend::open(directory.path()).unwrap();
    for number in 0..20 {
        let rows = (1..=GROUP).map(|index| {
            let key = (number * GROUP + index).to_be_bytes().to_vec();
            Row { keyspace: Keyspace::Log, key, value: Some(vec![7; 1024]) }
        });
        let group = Group { rows: rows.collect(), acknowledged: None, has_changes: true };
        backend.append(group).unwrap();
        // A table for each group: left alone, a busy machine flushes several at once, and what is dropped is whole tables.
        backend.tables.log.rotate_memtable_and_wait().unwrap();
        flushed(&backend, (number + 1) * GROUP * 1024);
    }
    let before = backend.tables.log.disk_space();
    backend.trim(Revision(19 * GROUP));
    let after = backend.tables.log.disk_space();
    assert!(after < before / 2, "{before} bytes before, {after} after");
    let mut left = 0;
    let (from, to) = ((19 * GROUP + 1).to_be_bytes(), u64::MAX.to_be_bytes());
    let mut count = |_: &[u8], _: &[u8]| {
        left += 1;
        ControlFlow::Continue(())
    };
    backend.archive().scan(Keyspace::Log, &from, &to, &mut count).unwrap();
    assert_eq!(left, GROUP);
}
