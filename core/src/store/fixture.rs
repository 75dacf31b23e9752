//! Objects and requests for the store's tests.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Answer, Change, Guard, MemoryBackend, MemoryDisk, Origin, Precondition, Put, ReadKey, Sequencer, Settings, Ticket,
    Write,
};
use crate::object::{Draft, ObjectKey, ResourceType, Revision};

pub(crate) const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");
pub(crate) const EVENTS: ResourceType = ResourceType::new("", "events");
pub(crate) const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");
pub(crate) const NODES: ResourceType = ResourceType::new("", "nodes");
pub(crate) const PODS: ResourceType = ResourceType::new("", "pods");

/// `namespace/name`, or `name` for an object of the cluster.
pub(crate) fn key(resource: ResourceType, at: &str) -> ObjectKey {
    match at.split_once('/') {
        Some((namespace, name)) => ObjectKey::namespaced(resource, namespace, name),
        None => ObjectKey::cluster(resource, at),
    }
}

pub(crate) fn draft(
    resource: ResourceType,
    at: &str,
    metadata: Value,
    mut body: Value,
    fields: Vec<(&'static str, String)>,
) -> Draft {
    let key = key(resource, at);
    let mut all =
        json!({"name": &*key.name, "uid": format!("uid-of-{at}"), "creationTimestamp": "2026-01-01T00:00:00Z"});
    if let Some(namespace) = &key.namespace {
        all["namespace"] = json!(&**namespace);
    }
    for (name, value) in metadata.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    body["metadata"] = all;
    Draft::new(key, body, fields).unwrap()
}

pub(crate) fn config_map(at: &str, data: &str) -> Draft {
    draft(CONFIG_MAPS, at, json!({}), json!({"data": {"k": data}}), Vec::new())
}

pub(crate) fn node(name: &str) -> Draft {
    draft(NODES, name, json!({}), json!({}), Vec::new())
}

pub(crate) fn origin(who: &str) -> Origin {
    Origin::System { purpose: who.to_owned() }
}

pub(crate) fn write(changes: Vec<Change>) -> Write {
    Write { origin: origin("test"), changes, guard: None, decision: None }
}

pub(crate) fn change(draft: Draft, precondition: Precondition) -> Change {
    Change { key: draft.key().clone(), precondition, put: Put::Object(Box::new(draft)), conditions: Vec::new() }
}

pub(crate) fn create(draft: Draft) -> Write {
    write(vec![change(draft, Precondition::Absent)])
}

pub(crate) fn update(draft: Draft, at: Revision) -> Write {
    write(vec![change(draft, Precondition::Unchanged(at))])
}

pub(crate) fn remove(key: ObjectKey, at: Revision) -> Write {
    write(vec![Change { key, precondition: Precondition::Unchanged(at), put: Put::Nothing, conditions: Vec::new() }])
}

pub(crate) fn guarded(mut write: Write, at: Revision, reads: Vec<ReadKey>) -> Write {
    write.guard = Some(Guard { at, reads });
    write
}

/// A moment, in milliseconds after a fixed one.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings { cluster_uid: "cluster".to_owned(), ..Settings::default() }
}

pub(crate) fn open(disk: &MemoryDisk) -> Sequencer<MemoryBackend> {
    Sequencer::open(disk.restart(), settings()).unwrap()
}

/// Commits requests as one group, and returns the answers in the order of the requests.
pub(crate) fn commit(sequencer: &mut Sequencer<MemoryBackend>, writes: Vec<Write>, ms: i64) -> Vec<Answer> {
    for (index, write) in writes.into_iter().enumerate() {
        sequencer.submit(write, Ticket(index as u64));
    }
    let mut answers = sequencer.commit_group(at(ms));
    answers.sort_by_key(|(ticket, _)| *ticket);
    answers
}

/// Commits one request that must succeed, and returns the revision it became.
pub(crate) fn must(sequencer: &mut Sequencer<MemoryBackend>, write: Write) -> Revision {
    let (_, answer) = commit(sequencer, vec![write], 0).remove(0);
    answer.unwrap().revision
}
