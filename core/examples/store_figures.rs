//! What the store costs: `store_figures writes|fill|recover|snapshot|churn [DIR] [COUNT]`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sampan_core::Timestamp;
use sampan_core::object::{Draft, ObjectKey, ResourceType};
use sampan_core::store::{
    Change, Clock, FjallBackend, MemoryBackend, Origin, Precondition, Put, Settings, Store, Write,
};
use serde_json::json;

const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");
const CLIENTS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let argument = |at: usize| arguments.get(at).cloned().unwrap_or_default();
    let (directory, count) = (argument(2), argument(3).parse().unwrap_or(100_000));
    match argument(1).as_str() {
        "writes" => writes(Path::new(&directory), count),
        "fill" => fill(&open(Path::new(&directory)), count),
        "recover" => recover(Path::new(&directory)),
        "snapshot" => snapshots(),
        "churn" => churn(Path::new(&directory), count),
        _ => eprintln!("store_figures writes|fill|recover|snapshot|churn [DIR] [COUNT]"),
    }
}

fn clock() -> Clock {
    Arc::new(Timestamp::now)
}

fn open(directory: &Path) -> Store {
    let settings = Settings { cluster_uid: "figures".to_owned(), ..Settings::default() };
    Store::open(FjallBackend::open(directory).expect("the store opens"), settings, clock()).expect("the store opens")
}

/// A ConfigMap of 1 KB.
fn config_map(name: &str) -> Draft {
    let key = ObjectKey::namespaced(CONFIG_MAPS, "default", name);
    let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "x".repeat(750)}, "metadata": {
        "name": name, "namespace": "default", "uid": format!("00000000-0000-4000-8000-{name:0>12}"),
        "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "figures"}}});
    Draft::new(key, value, Vec::new()).expect("the draft is whole")
}

fn put(name: &str, precondition: Precondition) -> Change {
    let draft = config_map(name);
    Change { key: draft.key().clone(), precondition, put: Put::Object(Box::new(draft)), conditions: Vec::new() }
}

fn request(changes: Vec<Change>) -> Write {
    let origin =
        Origin::Request { user: "figures".to_owned(), client: "figures".to_owned(), verb: "create".to_owned() };
    Write { origin, changes, guard: None, decision: None }
}

fn writes(directory: &Path, count: usize) {
    for clients in [1, CLIENTS] {
        let store = open(&directory.join(clients.to_string()));
        let each = if clients == 1 { count / 20 } else { count / clients };
        let before = store.metrics();
        let start = Instant::now();
        let clients: Vec<_> = (0..clients).map(|client| client_of(&store, client, each)).collect();
        let number = clients.len();
        let mut latencies: Vec<Duration> =
            clients.into_iter().flat_map(|client| client.join().expect("no client fails")).collect();
        let elapsed = start.elapsed();
        let after = store.metrics();
        latencies.sort();
        let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
        let writes = after.writes - before.writes;
        println!(
            "{number} clients: {:.0} durable creates/s, p50 {:?}, p99 {:?}, {:.3} syncs per write, {} groups",
            writes as f64 / elapsed.as_secs_f64(),
            at(0.5),
            at(0.99),
            (after.syncs - before.syncs) as f64 / writes as f64,
            after.groups - before.groups,
        );
        store.close();
    }
}

fn client_of(store: &Store, client: usize, writes: usize) -> std::thread::JoinHandle<Vec<Duration>> {
    let store = store.clone();
    std::thread::spawn(move || {
        let mut latencies = Vec::with_capacity(writes);
        for index in 0..writes {
            let write = request(vec![put(&format!("c{client}-{index}"), Precondition::Absent)]);
            let start = Instant::now();
            store.commit_blocking(write).expect("the write is taken");
            latencies.push(start.elapsed());
        }
        latencies
    })
}

fn fill(store: &Store, count: usize) {
    let start = Instant::now();
    for first in (0..count).step_by(500) {
        let names = first..(first + 500).min(count);
        let changes = names.map(|index| put(&format!("c{index}"), Precondition::Absent)).collect();
        store.commit_blocking(request(changes)).expect("the write is taken");
    }
    println!("{count} objects written in {:?}, {}", start.elapsed(), memory());
    store.close();
}

fn recover(directory: &Path) {
    let start = Instant::now();
    let store = open(directory);
    let opened = start.elapsed();
    println!("{} objects recovered in {opened:?}, {}", store.snapshot().count(CONFIG_MAPS), memory());
    store.close();
}

fn snapshots() {
    for count in [10, 100_000] {
        let settings = Settings { cluster_uid: "figures".to_owned(), ..Settings::default() };
        let store = Store::open(MemoryBackend::default(), settings, clock()).expect("the store opens");
        fill(&store, count);
        let start = Instant::now();
        let rounds = 1_000_000;
        for _ in 0..rounds {
            std::hint::black_box(store.snapshot());
        }
        println!("{count} objects: a snapshot in {:?}", start.elapsed() / rounds);
    }
}

/// Overwrites few objects many times: the disk must not grow with it.
fn churn(directory: &Path, count: usize) {
    let store = open(directory);
    for round in 0..count / 500 {
        let changes = (0..500).map(|index| {
            let name = format!("c{index}");
            let precondition = match store.snapshot().get(config_map(&name).key()) {
                Some(object) => Precondition::Unchanged(object.revision()),
                None => Precondition::Absent,
            };
            put(&name, precondition)
        });
        store.commit_blocking(request(changes.collect())).expect("the write is taken");
        if round % 100 == 99 {
            println!("{} changes: {} on disk, {}", (round + 1) * 500, disk(directory), memory());
        }
    }
    store.close();
}

fn disk(directory: &Path) -> String {
    let output = std::process::Command::new("du").arg("-sh").arg(directory).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().replace('\t', " ");
    format!("{}, {}", line("VmRSS:"), line("RssAnon:"))
}
