//! What watchers see, from memory and from the log.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use serde_json::json;

use crate::object::Revision;
use crate::store::fixture::*;
use crate::store::{Event, MemoryDisk, Told, WatchChange, WatchScope};

fn labelled(at: &str, app: &str) -> crate::object::Draft {
    draft(PODS, at, json!({"labels": {"app": app}}), json!({}), vec![("status.phase", app.to_owned())])
}

fn told(events: &[Arc<Event>]) -> Vec<String> {
    events
        .iter()
        .map(|event| match &event.change {
            WatchChange::Added(object) => format!("added {object:?}"),
            WatchChange::Modified { before, after } => format!("{before:?} became {after:?}"),
            WatchChange::Removed(object) => format!("removed {object:?}"),
        })
        .collect()
}

#[test]
fn a_watch_tells_the_same_from_memory_and_from_the_log() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    must(&mut sequencer, create(labelled("default/a", "web")));
    must(&mut sequencer, create(labelled("other/b", "web")));
    must(&mut sequencer, create(config_map("default/c", "x")));
    must(&mut sequencer, update(labelled("default/a", "api"), Revision(1)));
    must(&mut sequencer, remove(key(PODS, "default/a"), Revision(4)));
    let expected = ["added pods/default/a@1", "pods/default/a@1 became pods/default/a@4", "removed pods/default/a@5"];
    let scope = WatchScope { namespace: Some("default".into()), ..WatchScope::all(PODS) };
    for sequencer in [sequencer, open(&disk)] {
        let reader = sequencer.reader();
        let events = reader.watch(scope.clone(), Revision(0)).poll(100).unwrap();
        assert_eq!(told(&events), expected);
        let WatchChange::Modified { before, .. } = &events[1].change else { panic!("{events:?}") };
        assert_eq!(before.metadata().labels["app"].as_ref(), "web", "a selector sees what it leaves");
        assert_eq!(before.field("status.phase"), Some("web"));
        let removed = events[2].change.object();
        assert_eq!(removed.value()["metadata"]["resourceVersion"], "5");
        assert_eq!(*events[0].origin, origin("test"));
        let from_later = reader.watch(scope.clone(), Revision(1)).poll(100).unwrap();
        assert_eq!(told(&from_later), expected[1..]);
    }
}

#[test]
fn a_watch_goes_on_where_it_stopped_and_its_cursor_passes_what_it_does_not_see() {
    let mut sequencer = open(&MemoryDisk::default());
    for index in 0..10 {
        must(&mut sequencer, create(labelled(&format!("default/{index}"), "web")));
    }
    must(&mut sequencer, create(config_map("default/c", "x")));
    let mut watch = sequencer.reader().watch(WatchScope::all(PODS), Revision(0));
    let mut seen = Vec::new();
    loop {
        let events = watch.poll(3).unwrap();
        if events.is_empty() {
            break;
        }
        assert!(events.len() <= 3);
        seen.extend(events.iter().map(|event| event.revision.0));
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    assert_eq!(watch.cursor(), Revision(11));
}

#[test]
fn a_watcher_far_behind_reads_the_log_and_misses_nothing() {
    let mut sequencer = open(&MemoryDisk::default());
    let reader = sequencer.reader();
    let mut quiet = reader.watch(WatchScope::all(NODES), Revision(0));
    let mut watch = reader.watch(WatchScope::all(PODS), Revision(0));
    for group in 0..20 {
        let writes = (0..500).map(|index| create(labelled(&format!("default/{group}-{index}"), "web"))).collect();
        commit(&mut sequencer, writes, 0);
    }
    let mut seen = Vec::new();
    loop {
        let events = watch.poll(700).unwrap();
        if events.is_empty() {
            break;
        }
        seen.extend(events.iter().map(|event| event.revision.0));
    }
    assert_eq!(seen, (1..=10_000).collect::<Vec<_>>());
    must(&mut sequencer, create(node("here")));
    assert_eq!(told(&quiet.poll(10).unwrap()), ["added nodes//here@10001"]);
}

#[test]
fn a_waiting_watcher_is_woken_by_its_own_resource_type_only() {
    let mut sequencer = open(&MemoryDisk::default());
    let reader = sequencer.reader();
    let mut watch = reader.watch(WatchScope::all(NODES), Revision(0));
    let nodes = reader.listen(NODES);
    let (mut nodes, mut next) = (pin!(nodes), pin!(watch.next(10)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut context).is_pending());
    must(&mut sequencer, create(config_map("default/c", "x")));
    assert!(nodes.as_mut().poll(&mut context).is_pending());
    assert!(next.as_mut().poll(&mut context).is_pending());
    must(&mut sequencer, create(node("here")));
    assert!(nodes.as_mut().poll(&mut context).is_ready());
    let Poll::Ready(Told::Events(events)) = next.as_mut().poll(&mut context) else { panic!("not woken") };
    assert_eq!(told(&events), ["added nodes//here@2"]);
}

#[test]
fn a_callback_hears_of_every_group_when_its_snapshot_is_there() {
    let mut sequencer = open(&MemoryDisk::default());
    let reader = sequencer.reader();
    let heard = Arc::new(AtomicU64::new(0));
    let (inside, looking) = (heard.clone(), reader.clone());
    reader.on_commit(Arc::new(move |revision| {
        assert_eq!(looking.snapshot().revision(), revision);
        assert_eq!(looking.all_events_after(Revision(revision.0 - 1), 10).unwrap().events.len(), 1);
        inside.store(revision.0, Ordering::SeqCst);
    }));
    for index in 1..=3 {
        must(&mut sequencer, create(config_map(&format!("default/{index}"), "x")));
        assert_eq!(heard.load(Ordering::SeqCst), index);
    }
}
