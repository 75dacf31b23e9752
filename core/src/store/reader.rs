//! Everything that can be read of a store, from any thread, while one thread writes.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use event_listener::EventListener;
use sampan_machine::Decision;

use super::backend::{Archive, BackendError, Keyspace};
use super::feed::{Callback, Feed};
use super::{Batch, Compacted, Event, Origins, Snapshot, Watch, WatchError, WatchScope, codec, decisions};
use crate::object::{Name, ObjectKey, ResourceType, Revision};
use crate::ticker::{Following, Ticker};

/// How many log records one call reads: it bounds how long a caller is kept.
const LOG_READ_MAX: u64 = 1000;

/// Reads a store. Clones are cheap and read the same store.
#[derive(Clone)]
pub struct Reader(pub(super) Arc<Shared>);

/// What the sequencer shares with readers.
pub(super) struct Shared {
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) feed: Feed,
    /// `None` once the store is closed, whoever still reads snapshots.
    pub(super) archive: Mutex<Option<Arc<dyn Archive>>>,
    pub(super) cluster_uid: Name,
    pub(super) floor: AtomicU64,
    pub(super) counts: Counts,
    /// Decisions as they become durable.
    pub(super) decided: Arc<Ticker<Decision>>,
    /// What has halted the store, once something has.
    pub(super) halted: OnceLock<String>,
}

/// What has happened since the store was opened.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) groups: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) parked: AtomicU64,
}

/// What the store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metrics {
    /// The revision of head.
    pub revision: Revision,
    /// The oldest revision a watch can start from.
    pub floor: Revision,
    /// Groups made durable.
    pub groups: u64,
    /// Waits for the disk.
    pub syncs: u64,
    /// Requests committed.
    pub writes: u64,
    /// Requests refused.
    pub refusals: u64,
    /// Times a request waited for a reservation.
    pub parked: u64,
}

impl Reader {
    /// The cluster as it is now: every acknowledged write is in it.
    pub fn snapshot(&self) -> Snapshot {
        (**self.0.snapshot.load()).clone()
    }

    /// The identity of the cluster, given when its store was created.
    pub fn cluster_uid(&self) -> &Name {
        &self.0.cluster_uid
    }

    /// Why the store takes no more writes, if it does not: the disk is full, or failed.
    pub fn halted(&self) -> Option<&str> {
        self.0.halted.get().map(String::as_str)
    }

    /// What the store has done.
    pub fn metrics(&self) -> Metrics {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.0.counts;
        Metrics {
            revision: self.0.snapshot.load().revision(),
            floor: self.floor(),
            groups: read(&counts.groups),
            syncs: read(&counts.syncs),
            writes: read(&counts.writes),
            refusals: read(&counts.refusals),
            parked: read(&counts.parked),
        }
    }

    /// Who created an object and who changed it last; `None` once it is gone.
    pub fn origins(&self, key: &ObjectKey) -> Option<Origins> {
        self.snapshot().origins(key).cloned()
    }

    /// The decisions kept about an object, newest last, also when it is gone. Reads the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn decisions(&self, key: &ObjectKey) -> Result<Vec<Decision>, BackendError> {
        decisions::read(&*self.archive()?, key)
    }

    /// Follows decisions as they are committed, from now on.
    pub fn follow_decisions(&self) -> Following<Decision> {
        self.0.decided.follow()
    }

    /// At most `limit` changes in scope after `cursor`. Changes further back than memory reaches are read from disk.
    ///
    /// # Errors
    /// When the log no longer reaches back to `cursor`, or the disk fails.
    pub fn events_after(&self, scope: &WatchScope, cursor: Revision, limit: usize) -> Result<Batch, WatchError> {
        match self.0.feed.after(scope, cursor, limit) {
            Some(batch) => Ok(batch),
            None => self.log_after(cursor, limit, |key| scope.holds(key)),
        }
    }

    /// At most `limit` changes in scope after `cursor`; `None` where memory does not reach back so far. Never reads the disk.
    pub(super) fn recent_events_after(&self, scope: &WatchScope, cursor: Revision, limit: usize) -> Option<Batch> {
        self.0.feed.after(scope, cursor, limit)
    }

    /// At most `limit` changes of all objects after `cursor`.
    ///
    /// # Errors
    /// When the log no longer reaches back to `cursor`, or the disk fails.
    pub fn all_events_after(&self, cursor: Revision, limit: usize) -> Result<Batch, WatchError> {
        match self.0.feed.all_after(cursor, limit) {
            Some(batch) => Ok(batch),
            None => self.log_after(cursor, limit, |_| true),
        }
    }

    /// Follows the changes in scope from `cursor` on.
    pub fn watch(&self, scope: WatchScope, cursor: Revision) -> Watch {
        Watch::new(self.clone(), scope, cursor)
    }

    /// Completes when an object of the resource type changes after this call: listen, then look, then wait.
    pub fn listen(&self, resource: ResourceType) -> EventListener {
        self.0.feed.listen(resource)
    }

    /// Completes when anything changes after this call.
    pub fn listen_all(&self) -> EventListener {
        self.0.feed.listen_all()
    }

    /// Calls `callback` with head's revision after each group, on the thread that commits: it must return at once.
    pub fn on_commit(&self, callback: Callback) {
        self.0.feed.attach(callback);
    }

    fn archive(&self) -> Result<Arc<dyn Archive>, BackendError> {
        let archive = self.0.archive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        archive.ok_or_else(|| BackendError { verb: "read the disk", reason: "the store is closed".to_owned() })
    }

    fn floor(&self) -> Revision {
        Revision(self.0.floor.load(Ordering::Acquire))
    }

    fn compacted(&self, asked: Revision) -> WatchError {
        WatchError::Compacted(Compacted { asked, floor: self.floor() })
    }

    fn log_after(
        &self,
        cursor: Revision,
        limit: usize,
        wanted: impl Fn(&ObjectKey) -> bool,
    ) -> Result<Batch, WatchError> {
        if cursor < self.floor() {
            return Err(self.compacted(cursor));
        }
        let mut batch = Batch { events: Vec::new(), through: cursor };
        let mut failure = None;
        let (from, to) = (log_key(cursor.next()), log_key(Revision(cursor.0.saturating_add(LOG_READ_MAX + 1))));
        self.archive()?.scan(Keyspace::Log, &from, &to, &mut |key, record| {
            let expected = batch.through.next();
            match read_log(key, record, expected, &wanted) {
                Ok(event) => batch.events.extend(event.map(Arc::new)),
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
            batch.through = expected;
            if batch.events.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        match failure {
            // The trimmer overtook this scan.
            Some(_) if batch.through < self.floor() => Err(self.compacted(cursor)),
            Some(error) => Err(error.into()),
            None if batch.through == cursor => Err(self.compacted(cursor)),
            None => Ok(batch),
        }
    }
}

/// The event of a log row, if it is wanted.
fn read_log(
    key: &[u8],
    record: &[u8],
    expected: Revision,
    wanted: impl Fn(&ObjectKey) -> bool,
) -> Result<Option<Event>, BackendError> {
    let failed = |reason: String| BackendError { verb: "read the log", reason };
    if *key != log_key(expected) {
        return Err(failed(format!("revision {expected} is missing")));
    }
    let damaged = |damage: codec::Damage| failed(format!("revision {expected}: {damage}"));
    let object = codec::event_key(record).map_err(damaged)?;
    if wanted(&object) { codec::decode_event(record).map(Some).map_err(damaged) } else { Ok(None) }
}

/// The log's key of a revision.
pub(super) fn log_key(revision: Revision) -> [u8; 8] {
    revision.0.to_be_bytes()
}
