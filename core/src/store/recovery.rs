//! Reading a store back, and refusing one that is not whole.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::backend::{Archive, Backend, BackendError, Group, Keyspace, Row};
use super::codec::{self, Damage, FORMAT};
use super::decisions::Shelf;
use super::expiry::Expiry;
use super::group::object_row;
use super::reader::log_key;
use super::snapshot::Head;
use super::{Indexing, Origin, Origins, Settings};
use crate::object::{Name, ObjectKey, Revision};

const FORMAT_KEY: &[u8] = b"format";
const CLUSTER_KEY: &[u8] = b"cluster_uid";
pub(super) const FLOOR_KEY: &[u8] = b"floor";

/// Why a store cannot be opened. Nothing has been changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The backend cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Another process has the store open.
    #[error("already running: {path} is in use by another process")]
    AlreadyRunning {
        /// The data directory.
        path: String,
    },
    /// The store was written by another version of Sampan.
    #[error("the store has format {found}, this version reads format {FORMAT}: use the version that wrote it")]
    Format {
        /// The format found.
        found: u8,
    },
    /// The journal is damaged before the last acknowledged write.
    #[error(
        "the journal is damaged: {file} cannot be read from byte {offset} on; writes up to revision {acknowledged} were \
         acknowledged, revision {recoverable} is the last before the damage. Nothing was changed. Restore the data \
         directory from a copy"
    )]
    JournalDamaged {
        /// The journal.
        file: String,
        /// Where it becomes unreadable.
        offset: u64,
        /// What was acknowledged.
        acknowledged: Revision,
        /// What could be read.
        recoverable: Revision,
    },
    /// Acknowledged writes are missing.
    #[error(
        "acknowledged writes are missing: the store ends at revision {recovered}, but revision {acknowledged} was \
         acknowledged. Restore the data directory from a copy"
    )]
    LostWrites {
        /// Where the store ends.
        recovered: Revision,
        /// What was acknowledged.
        acknowledged: Revision,
    },
    /// The log has a hole.
    #[error("the log is damaged: revision {missing} is missing. Restore the data directory from a copy")]
    LogGap {
        /// The first revision missing.
        missing: Revision,
    },
    /// A record is damaged.
    #[error("the {keyspace} record {key} is damaged: {damage}. Restore the data directory from a copy")]
    Record {
        /// Where the record is.
        keyspace: &'static str,
        /// Its key.
        key: String,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Log and objects disagree.
    #[error("{key} is not as revision {revision} of the log left it. Restore the data directory from a copy")]
    Inconsistent {
        /// The object.
        key: ObjectKey,
        /// The change that is missing from it.
        revision: Revision,
    },
}

/// A store as it was left.
pub(super) struct Recovered {
    pub(super) head: Head,
    pub(super) floor: Revision,
    pub(super) cluster_uid: Name,
    pub(super) shelf: Shelf,
}

/// Reads the store, or begins one.
pub(super) fn recover(
    backend: &mut impl Backend,
    settings: &Settings,
    expiry: &mut Expiry,
) -> Result<Recovered, OpenError> {
    let archive = backend.archive();
    let cluster_uid = match archive.get(Keyspace::Meta, CLUSTER_KEY)? {
        Some(uid) => String::from_utf8_lossy(&uid).into(),
        None => found(backend, &settings.cluster_uid)?,
    };
    match archive.get(Keyspace::Meta, FORMAT_KEY)?.as_deref() {
        None | Some([FORMAT]) => {}
        Some(other) => return Err(OpenError::Format { found: other.first().copied().unwrap_or_default() }),
    }
    let floor = archive.get(Keyspace::Meta, FLOOR_KEY)?;
    let floor = floor.and_then(|bytes| bytes.try_into().ok()).map_or(Revision(0), |b| Revision(u64::from_be_bytes(b)));
    let indexing = match &settings.indexing {
        Some(indexing) if indexing.is_news_to(&*archive)? => Some(indexing),
        _ => None,
    };
    // Log and objects are read side by side: each is half of the time it takes.
    let (log, objects) = std::thread::scope(|scope| {
        let log = scope.spawn(|| read_log(&*archive, floor));
        let objects = read_objects(&*archive, expiry, indexing);
        (log.join().expect("reading the log does not panic"), objects)
    });
    let log = log?;
    if log.head < backend.acknowledged() {
        return Err(OpenError::LostWrites { recovered: log.head, acknowledged: backend.acknowledged() });
    }
    let (mut head, corrected) = objects?;
    if head.revision > log.head {
        return Err(OpenError::LogGap { missing: log.head.next() });
    }
    head.revision = log.head;
    log.check(&head)?;
    if let Some(indexing) = indexing {
        indexing.write(backend, corrected)?;
    }
    Ok(Recovered { head, floor, cluster_uid, shelf: Shelf::recover(&*archive)? })
}

/// Begins a store.
fn found(backend: &mut impl Backend, uid: &str) -> Result<Name, OpenError> {
    let row = |key: &[u8], value: &[u8]| Row { keyspace: Keyspace::Meta, key: key.into(), value: Some(value.into()) };
    let rows = vec![row(FORMAT_KEY, &[FORMAT]), row(CLUSTER_KEY, uid.as_bytes())];
    backend.append(Group { rows, acknowledged: None, has_changes: true })?;
    Ok(uid.into())
}

struct Log {
    head: Revision,
    /// The last change of each object: its revision, and whether the object was there afterwards.
    outcomes: BTreeMap<Box<str>, (Revision, bool)>,
}

/// Reads the log above `floor`: every revision is there, once, as it was written.
fn read_log(archive: &dyn Archive, floor: Revision) -> Result<Log, OpenError> {
    let mut log = Log { head: floor, outcomes: BTreeMap::new() };
    let mut failure = None;
    archive.scan(Keyspace::Log, &log_key(floor.next()), &log_key(Revision(u64::MAX)), &mut |key, record| {
        let expected = log.head.next();
        if *key != log_key(expected) {
            failure = Some(OpenError::LogGap { missing: expected });
            return ControlFlow::Break(());
        }
        match codec::event_outcome(record) {
            Ok((object, revision, is_there)) if revision == expected => {
                log.outcomes.insert(object.into(), (revision, is_there));
            }
            other => {
                let damage = other.err().unwrap_or(Damage::Shape("revision"));
                failure = Some(OpenError::Record { keyspace: "log", key: expected.to_string(), damage });
                return ControlFlow::Break(());
            }
        }
        log.head = expected;
        ControlFlow::Continue(())
    })?;
    failure.map_or(Ok(log), Err)
}

impl Log {
    /// Holds the objects against what the log says became of them.
    fn check(self, head: &Head) -> Result<(), OpenError> {
        for (key, (revision, is_there)) in self.outcomes {
            let Some(key) = ObjectKey::parse(&key) else {
                let (key, damage) = (revision.to_string(), Damage::Shape("key"));
                return Err(OpenError::Record { keyspace: "log", key, damage });
            };
            let found = head.get(&key).map(|object| object.revision());
            if found != is_there.then_some(revision) {
                return Err(OpenError::Inconsistent { key, revision });
            }
        }
        Ok(())
    }
}

/// Reads the objects, and what is to be written again of them: those that are found otherwise than it was written.
fn read_objects(
    archive: &dyn Archive,
    expiry: &mut Expiry,
    indexing: Option<&Indexing>,
) -> Result<(Head, Vec<Row>), OpenError> {
    let (mut head, mut corrected) = (Head::default(), Vec::new());
    let mut known = KnownOrigins::default();
    let mut failure = None;
    archive.scan(Keyspace::Objects, &[], &[u8::MAX], &mut |key, record| match read_object(key, record) {
        Ok(mut found) => {
            if let Some(object) = indexing.and_then(|indexing| indexing.corrected(&found.object)) {
                corrected.push(object_row(&object, &found.origins, found.changed_at));
                found.object = object;
            }
            let object = Arc::new(found.object);
            expiry.changed(object.key(), object.revision(), found.changed_at);
            head.revision = head.revision.max(object.revision());
            head.insert(object, known.share(found.origins), found.changed_at);
            ControlFlow::Continue(())
        }
        Err(damage) => {
            let key = String::from_utf8_lossy(key).into_owned();
            failure = Some(OpenError::Record { keyspace: "objects", key, damage });
            ControlFlow::Break(())
        }
    })?;
    expiry.sort();
    failure.map_or(Ok((head, corrected)), Err)
}

fn read_object(key: &[u8], record: &[u8]) -> Result<codec::ObjectRecord, Damage> {
    let key = std::str::from_utf8(key).ok().and_then(ObjectKey::parse).ok_or(Damage::Shape("key"))?;
    codec::decode_object(key, record)
}

/// Objects that came the same way share one origin in memory: most of a large cluster did.
#[derive(Clone, Default)]
pub(super) struct KnownOrigins {
    /// Bounded: origins that name a decision are seldom met twice.
    known: Vec<Arc<Origins>>,
}

const KNOWN_ORIGINS_MAX: usize = 16;

impl KnownOrigins {
    pub(super) fn share(&mut self, origins: Origins) -> Arc<Origins> {
        if let Some(known) = self.known.iter().rev().find(|known| ***known == origins) {
            return known.clone();
        }
        let fresh = Arc::new(origins);
        if self.known.len() >= KNOWN_ORIGINS_MAX {
            self.known.remove(0);
        }
        self.known.push(fresh.clone());
        fresh
    }
}

/// The row that keeps the floor.
pub(super) fn floor_row(floor: Revision) -> Row {
    Row { keyspace: Keyspace::Meta, key: FLOOR_KEY.into(), value: Some(log_key(floor).into()) }
}

/// An origin as the store itself gives it.
pub(super) fn own_origin(purpose: &str) -> Origin {
    Origin::System { purpose: purpose.to_owned() }
}
