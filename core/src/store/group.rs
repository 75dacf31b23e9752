//! The group being built: what will be written at once, and told once it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use sampan_machine::Decision;

use super::backend::{Group, Keyspace, Row};
use super::reader::log_key;
use super::{Event, Origins, codec};
use crate::object::{Object, ObjectKey, Revision};

/// The most changes of one group: it bounds how long the first of it waits for the last.
const CHANGES_MAX: usize = 4096;

/// The most bytes of one group: a journal batch is held in memory while it is written.
const BYTES_MAX: usize = 8 << 20;

/// Rows and events of the requests accepted so far.
#[derive(Default)]
pub(super) struct Building {
    /// An object changed twice in one group is written once.
    rows: BTreeMap<(Keyspace, Vec<u8>), Option<Vec<u8>>>,
    pub(super) events: Vec<Arc<Event>>,
    /// Its decisions, where somebody follows them.
    pub(super) decided: Vec<Decision>,
    bytes: usize,
}

impl Building {
    /// Whether no more requests should join.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= CHANGES_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it changes anything: only then it is durable once it is written.
    pub(super) fn has_changes(&self) -> bool {
        !self.events.is_empty()
    }

    /// Adds an object's latest state.
    pub(super) fn put(&mut self, object: &Object, origins: &Origins, now: Timestamp) {
        self.extend([object_row(object, origins, now)]);
    }

    /// Removes an object's state.
    pub(super) fn remove(&mut self, key: &ObjectKey) {
        self.row(Keyspace::Objects, object_key(key), None);
    }

    /// Adds a change to the log.
    pub(super) fn log(&mut self, event: Event) {
        let record = codec::encode_event(&event);
        self.row(Keyspace::Log, log_key(event.revision).into(), Some(record));
        self.events.push(Arc::new(event));
    }

    /// Adds rows of another kind.
    pub(super) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            self.row(row.keyspace, row.key, row.value);
        }
    }

    fn row(&mut self, keyspace: Keyspace, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.rows.insert((keyspace, key), value);
    }

    /// What the backend is to write, and what is to be told afterwards.
    pub(super) fn finish(self, acknowledged: Option<Revision>) -> (Group, Vec<Arc<Event>>) {
        let has_changes = self.has_changes();
        let rows = self.rows.into_iter().map(|((keyspace, key), value)| Row { keyspace, key, value }).collect();
        (Group { rows, acknowledged, has_changes }, self.events)
    }
}

/// The row that keeps an object's latest state.
pub(super) fn object_row(object: &Object, origins: &Origins, changed_at: Timestamp) -> Row {
    let record = codec::encode_object(object, origins, changed_at);
    Row { keyspace: Keyspace::Objects, key: object_key(object.key()), value: Some(record) }
}

fn object_key(key: &ObjectKey) -> Vec<u8> {
    key.to_string().into_bytes()
}
