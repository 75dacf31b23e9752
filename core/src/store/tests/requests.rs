//! What is committed, what is refused, what waits.

use std::time::Duration;

use serde_json::json;

use crate::object::Revision;
use crate::store::fixture::*;
use crate::store::{
    CHANGES_MAX, CommitCondition, IndexKey, LOG_CHANGES_MAX, MemoryDisk, Origin, Precondition, ReadKey, Refusal,
    Sequencer, Settings, Ticket, Unmet, WatchError, Write,
};

fn map(at: &str) -> crate::object::Draft {
    config_map(at, "x")
}

#[test]
fn every_change_has_a_revision_of_its_own_and_a_group_costs_one_sync() {
    let mut sequencer = open(&MemoryDisk::default());
    let before = sequencer.reader().metrics();
    let writes = (0..64).map(|index| create(map(&format!("default/{index}")))).collect();
    let answers = commit(&mut sequencer, writes, 0);
    let revisions: Vec<u64> = answers.iter().map(|(_, answer)| answer.as_ref().unwrap().revision.0).collect();
    assert_eq!(revisions, (1..=64).collect::<Vec<_>>());
    let after = sequencer.reader().metrics();
    assert_eq!((after.groups - before.groups, after.writes, after.revision.0), (1, 64, 64));
}

#[test]
fn a_failed_precondition_refuses_its_own_request_only() {
    let mut sequencer = open(&MemoryDisk::default());
    let writes = vec![
        create(map("default/a")),
        create(map("default/a")),
        update(map("default/a"), Revision(1)),
        update(map("default/a"), Revision(1)),
        update(map("default/b"), Revision(1)),
        create(map("default/c")),
    ];
    let answers = commit(&mut sequencer, writes, 0);
    let said: Vec<String> = answers
        .iter()
        .map(|(_, answer)| match answer {
            Ok(commit) => format!("committed at {}", commit.revision),
            Err(refusal) => refusal.to_string(),
        })
        .collect();
    assert_eq!(
        said,
        [
            "committed at 1",
            "configmaps/default/a already exists",
            "committed at 2",
            "configmaps/default/a is at revision 2, not as expected",
            "configmaps/default/b not found",
            "committed at 3",
        ]
    );
}

#[test]
fn an_object_of_the_same_name_is_another() {
    let mut sequencer = open(&MemoryDisk::default());
    must(&mut sequencer, create(map("default/a")));
    let identity =
        |uid: &str| write(vec![change(map("default/a"), Precondition::Identity(crate::object::Uid(uid.into())))]);
    assert!(commit(&mut sequencer, vec![identity("uid-of-default/a")], 0)[0].1.is_ok());
    let refused = commit(&mut sequencer, vec![identity("other")], 0).remove(0).1;
    assert!(matches!(refused, Err(Refusal::Changed { .. })));
}

#[test]
fn a_request_of_many_changes_happens_whole_or_not_at_all() {
    let mut sequencer = open(&MemoryDisk::default());
    must(&mut sequencer, create(map("default/taken")));
    let three = |last: &str| {
        let changes = ["default/a", "default/b", last].map(|at| change(map(at), Precondition::Absent));
        write(changes.into())
    };
    let refused = commit(&mut sequencer, vec![three("default/taken")], 0).remove(0).1;
    assert!(matches!(refused, Err(Refusal::Exists(_))));
    assert_eq!(sequencer.snapshot().count(CONFIG_MAPS), 1);
    assert_eq!(sequencer.snapshot().revision(), Revision(1));
    assert!(matches!(
        commit(&mut sequencer, vec![three("default/a")], 0).remove(0).1,
        Err(Refusal::Exists(key)) if &*key.name == "a"
    ));
    let answer = commit(&mut sequencer, vec![three("default/c")], 0).remove(0).1.unwrap();
    assert_eq!(answer.objects.iter().map(|object| object.revision().0).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn a_request_has_a_bounded_number_of_changes() {
    let mut sequencer = open(&MemoryDisk::default());
    let many = (0..=CHANGES_MAX).map(|index| change(map(&format!("default/{index}")), Precondition::Absent)).collect();
    let refused = commit(&mut sequencer, vec![write(many)], 0).remove(0).1;
    assert!(matches!(refused, Err(Refusal::TooManyChanges { found }) if found == CHANGES_MAX + 1));
}

#[test]
fn nothing_is_created_in_a_namespace_that_is_gone_or_going() {
    let mut sequencer = open(&MemoryDisk::default());
    let namespace = |metadata| draft(NAMESPACES, "team", metadata, json!({}), Vec::new());
    let inside = || {
        let mut write = create(map("team/a"));
        write.changes[0].conditions.push(CommitCondition::Active(key(NAMESPACES, "team")));
        write
    };
    assert!(matches!(
        commit(&mut sequencer, vec![inside()], 0)[0].1,
        Err(Refusal::Unmet { change: 0, unmet: Unmet::Missing(_) })
    ));
    let at = must(&mut sequencer, create(namespace(json!({}))));
    let going = update(namespace(json!({"deletionTimestamp": "2026-01-02T00:00:00Z"})), at);
    let answers = commit(&mut sequencer, vec![going, inside()], 0);
    assert!(
        matches!(answers[1].1, Err(Refusal::Unmet { change: 0, unmet: Unmet::Terminating(_) })),
        "decided against the group being built"
    );
}

fn pod(at: &str, app: &str, owner: &str, node: &str) -> crate::object::Draft {
    let metadata = json!({"labels": {"app": app}, "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner}]});
    draft(PODS, at, metadata, json!({}), vec![("spec.nodeName", node.to_owned())])
}

#[test]
fn a_guard_refuses_when_anything_read_has_changed_and_only_then() {
    let label = |app: &str| {
        let namespace = Some("default".into());
        ReadKey::Index(IndexKey::Label { resource: PODS, namespace, label: "app".into(), value: app.into() })
    };
    let owner = |uid: &str| ReadKey::Index(IndexKey::Owner(crate::object::Uid(uid.into())));
    let node =
        |name: &str| ReadKey::Index(IndexKey::Field { resource: PODS, field: "spec.nodeName", value: name.into() });
    let cases = [
        (ReadKey::Object(key(PODS, "default/p")), true),
        (ReadKey::Object(key(PODS, "default/q")), false),
        (ReadKey::Object(key(CONFIG_MAPS, "default/p")), false),
        (ReadKey::Collection(PODS, None), true),
        (ReadKey::Collection(PODS, Some("default".into())), true),
        (ReadKey::Collection(PODS, Some("other".into())), false),
        (ReadKey::Collection(NODES, None), false),
        (label("old"), true),
        (label("new"), true),
        (label("third"), false),
        (owner("first"), true),
        (owner("second"), true),
        (owner("third"), false),
        (node(""), true),
        (node("here"), true),
        (node("there"), false),
    ];
    for (read, touched) in cases {
        let mut sequencer = open(&MemoryDisk::default());
        let created = must(&mut sequencer, create(pod("default/p", "old", "first", "")));
        let moved = update(pod("default/p", "new", "second", "here"), created);
        let resting = guarded(create(map("default/result")), created, vec![read.clone()]);
        let answers = commit(&mut sequencer, vec![moved, resting], 0);
        match (&answers[1].1, touched) {
            (Err(Refusal::Guard { changed_at, .. }), true) => assert_eq!(*changed_at, Revision(2), "{read:?}"),
            (Ok(_), false) => {}
            (other, _) => panic!("{read:?}: {other:?}"),
        }
        let fresh = guarded(create(map("default/later")), Revision(2), vec![read.clone()]);
        assert!(commit(&mut sequencer, vec![fresh], 0)[0].1.is_ok() || !touched, "{read:?}: read after the change");
    }
}

#[test]
fn a_guard_older_than_the_process_is_refused() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    let at = must(&mut sequencer, create(map("default/a")));
    must(&mut sequencer, create(map("default/b")));
    let mut sequencer = open(&disk);
    let read = vec![ReadKey::Object(key(CONFIG_MAPS, "default/a"))];
    let refused = commit(&mut sequencer, vec![guarded(create(map("default/c")), at, read)], 0).remove(0).1;
    assert!(matches!(refused, Err(Refusal::Guard { .. })));
}

#[test]
fn while_reads_are_reserved_others_that_touch_them_wait_in_order() {
    let mut sequencer = open(&MemoryDisk::default());
    let created = must(&mut sequencer, create(pod("default/p", "web", "rs", "")));
    let reads = vec![ReadKey::Index(IndexKey::Owner(crate::object::Uid("rs".into())))];
    let held = sequencer.reserve(&reads, at(0)).unwrap();
    assert!(sequencer.reserve(&reads, at(0)).is_none(), "one holder at a time");
    sequencer.submit(update(pod("default/p", "web", "rs", "one"), created), Ticket(1));
    sequencer.submit(update(pod("default/p", "web", "rs", "two"), created), Ticket(2));
    sequencer.submit(create(map("default/unrelated")), Ticket(3));
    let tickets = |answers: Vec<crate::store::Answer>| -> Vec<(u64, bool)> {
        answers.into_iter().map(|(ticket, answer)| (ticket.0, answer.is_ok())).collect()
    };
    assert_eq!(tickets(sequencer.commit_group(at(1))), [(3, true)]);
    assert!(!sequencer.is_due(at(2)), "nothing is to be done before the holder commits");
    let decided = guarded(create(map("default/decided")), created, reads);
    sequencer.submit_reserved(decided, Ticket(4), held);
    assert_eq!(tickets(sequencer.commit_group(at(3))), [(4, true)]);
    assert!(sequencer.is_due(at(3)));
    assert_eq!(tickets(sequencer.commit_group(at(3))), [(1, true), (2, false)]);
}

#[test]
fn a_reservation_ends_by_itself_after_five_milliseconds() {
    let mut sequencer = open(&MemoryDisk::default());
    let reads = vec![ReadKey::Collection(CONFIG_MAPS, None)];
    sequencer.reserve(&reads, at(0)).unwrap();
    sequencer.submit(create(map("default/a")), Ticket(1));
    assert!(sequencer.commit_group(at(4)).is_empty());
    assert_eq!(sequencer.next_deadline(), Some(at(5)));
    assert_eq!(sequencer.commit_group(at(5)).len(), 1);
    sequencer.reserve(&reads, at(10)).unwrap();
    sequencer.submit(create(map("default/b")), Ticket(2));
    assert_eq!(sequencer.commit_group(at(-1000)).len(), 1, "a clock set back keeps nobody waiting");
}

#[test]
fn objects_go_when_their_time_is_over_unless_they_changed() {
    let disk = MemoryDisk::default();
    let settings = || Settings { times_to_live: [(EVENTS, Duration::from_hours(1))].into(), ..settings() };
    let event = |at: &str, count: u32| draft(EVENTS, at, json!({}), json!({"count": count}), Vec::new());
    let hour = 3_600_000;
    let mut sequencer = Sequencer::open(disk.restart(), settings()).unwrap();
    let writes = vec![create(event("default/a", 1)), create(event("default/b", 1)), create(map("default/stays"))];
    commit(&mut sequencer, writes, 0);
    commit(&mut sequencer, vec![update(event("default/b", 2), Revision(2))], hour / 2);
    assert_eq!(sequencer.next_deadline(), Some(at(hour)));
    drop(sequencer);
    let mut sequencer = Sequencer::open(disk.restart(), settings()).unwrap();
    sequencer.commit_group(at(hour - 1));
    assert_eq!(sequencer.snapshot().count(EVENTS), 2);
    sequencer.commit_group(at(hour));
    let left: Vec<_> = sequencer.snapshot().list(EVENTS, None, None).map(|event| event.key().to_string()).collect();
    assert_eq!(left, ["events/default/b"]);
    sequencer.commit_group(at(hour + hour / 2));
    assert_eq!(sequencer.snapshot().count(EVENTS), 0);
    assert_eq!(sequencer.snapshot().count(CONFIG_MAPS), 1);
    assert_eq!(sequencer.next_deadline(), None);
}

#[test]
fn an_object_keeps_who_created_it_who_changed_it_last_and_who_did_from_outside() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    let by = |origin: &Origin, write: Write| Write { origin: origin.clone(), ..write };
    let [creator, third] = [origin("creator"), origin("third")];
    let client = Origin::Request { user: "me".to_owned(), client: "kubectl".to_owned(), verb: "patch".to_owned() };
    let untouched = must(&mut sequencer, by(&creator, create(map("default/b"))));
    must(&mut sequencer, by(&third, update(map("default/b"), untouched)));
    let created = must(&mut sequencer, by(&creator, create(map("default/a"))));
    let changed = must(&mut sequencer, by(&client, update(map("default/a"), created)));
    must(&mut sequencer, by(&third, update(map("default/a"), changed)));
    for sequencer in [sequencer, open(&disk)] {
        let origins = |name| sequencer.reader().origins(&key(CONFIG_MAPS, name)).unwrap();
        let (a, b) = (origins("default/a"), origins("default/b"));
        assert_eq!((&*a.created, &*a.asked, &*a.changed), (&creator, &client, &third));
        assert_eq!((&*b.created, &*b.asked, &*b.changed), (&creator, &creator, &third));
    }
}

#[test]
fn the_log_is_trimmed_and_older_watches_are_told() {
    let mut sequencer = open(&MemoryDisk::default());
    let batch = |start: u64| (0..2000).map(|index| create(map(&format!("default/{}", start + index)))).collect();
    for group in 0..(LOG_CHANGES_MAX / 2000 + 2) {
        commit(&mut sequencer, batch(group * 2000), 0);
    }
    let reader = sequencer.reader();
    let floor = reader.metrics().floor;
    assert_eq!(floor, Revision(4000));
    assert!(matches!(reader.all_events_after(Revision(3999), 10), Err(WatchError::Compacted(_))));
    let batch = reader.all_events_after(floor, 10).unwrap();
    assert_eq!(batch.events.first().unwrap().revision, Revision(4001));
}
