//! A process that writes is killed again and again: nothing it was told is durable may be missing.
//!
//! `SAMPAN_KILL_CYCLES=200 cargo test -p sampan-core --test kill` runs as many cycles as the release asks for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sampan_core::Timestamp;
use sampan_core::object::{Draft, ObjectKey, ResourceType};
use sampan_core::store::{Change, FjallBackend, Origin, Precondition, Put, Settings, Store, Write};
use serde_json::json;

const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");
const DIRECTORY: &str = "SAMPAN_KILL_DIRECTORY";
const CYCLE: &str = "SAMPAN_KILL_CYCLE";
const CYCLES: &str = "SAMPAN_KILL_CYCLES";
const WRITERS: usize = 8;

fn open(directory: &Path) -> Store {
    let settings = Settings { cluster_uid: "killed".to_owned(), ..Settings::default() };
    Store::open(FjallBackend::open(directory).unwrap(), settings, Arc::new(Timestamp::now)).unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(CONFIG_MAPS, "default", name)
}

fn create(name: &str, bytes: usize) -> Write {
    let value = json!({"data": {"k": "x".repeat(bytes)}, "metadata": {
        "name": name, "namespace": "default", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}});
    let draft = Draft::new(key(name), value, Vec::new()).unwrap();
    let change = Change {
        key: key(name),
        precondition: Precondition::Absent,
        put: Put::Object(Box::new(draft)),
        conditions: Vec::new(),
    };
    let origin = Origin::System { purpose: "test".to_owned() };
    Write { origin, changes: vec![change], guard: None, decision: None }
}

/// The process that is killed. It says what was acknowledged, a line each.
#[test]
#[ignore = "run by the test below as a process of its own"]
fn a_writer() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let cycle = std::env::var(CYCLE).unwrap();
    let store = open(Path::new(&directory));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, cycle) = (store.clone(), cycle.clone());
            std::thread::spawn(move || {
                for index in 0.. {
                    let name = format!("{cycle}-{writer}-{index}");
                    store.commit_blocking(create(&name, 100 + index * 7919 % 60_000)).unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {name};").and_then(|()| out.flush()).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
}

/// Lets a writer live until it was told of `until` writes and some milliseconds more, and returns what it was told.
fn killed_writer(directory: &Path, cycle: u64, until: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_writer", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(CYCLE, cycle.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut names = lines.filter_map(|line| Some(line.rsplit_once("acknowledged ")?.1.strip_suffix(';')?.to_owned()));
    let mut told: Vec<String> = names.by_ref().take(until).collect();
    std::thread::sleep(Duration::from_micros(cycle * 377 % 5000));
    child.kill().unwrap();
    // The last line may be torn: such a name is not among those that were told whole.
    told.extend(names);
    child.wait().unwrap();
    told
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let cycles = std::env::var(CYCLES).ok().and_then(|cycles| cycles.parse().ok()).unwrap_or(10);
    let directory = tempfile::tempdir().unwrap();
    let mut told = 0;
    for cycle in 0..cycles {
        let names = killed_writer(directory.path(), cycle, 20 + (cycle as usize * 13) % 100);
        assert!(!names.is_empty(), "cycle {cycle}: the writer wrote nothing");
        let store = open(directory.path());
        let snapshot = store.snapshot();
        for name in &names {
            assert!(snapshot.get(&key(name)).is_some(), "cycle {cycle}: {name} was acknowledged and is missing");
        }
        told += names.len();
        assert!(snapshot.count(CONFIG_MAPS) >= told, "cycle {cycle}: writes of earlier cycles are missing");
        store.close();
    }
    println!("{cycles} kills, {told} acknowledged writes, none lost");
}
