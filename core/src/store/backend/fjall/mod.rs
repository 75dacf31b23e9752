//! The backend that ships: fjall, an embedded LSM tree, guarded against what it does not guard itself.
//!
//! A directory holds the database (`fjall/`), the high-water mark (`acknowledged`) and a lock (`lock`). Before the
//! database is opened, its journal is read: a torn tail that nobody was told of is cut off, any other damage is refused
//! with nothing changed. After, the mark is held against what was recovered.

mod journal;
mod mark;

use std::fs::{File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};
use ::fjall::{AbstractTree, Database, KeyspaceCreateOptions, PersistMode};

use super::{Archive, Backend, BackendError, Group, Keyspace, Visit};
use crate::object::Revision;
use crate::store::OpenError;
use mark::Mark;

/// Little may live only in the journal: memtables are flushed early.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Small keyspaces must not keep the journal from being let go of.
const SMALL_MEMTABLE_BYTES: u64 = 1 << 20;
/// The least fjall allows.
const JOURNALS_BYTES_MAX: u64 = 64 << 20;
/// Head is in memory, so the cache serves watchers that lag behind and `why` alone.
const CACHE_BYTES: u64 = 4 << 20;
/// How many changes the floor moves before the log's tables below it are dropped; a table holds about as many.
const DROP_STEP: u64 = 5000;
/// One flushes while the other compacts.
const WORKERS: usize = 2;

/// Keeps a store in a directory.
pub struct FjallBackend {
    tables: Tables,
    mark: Mark,
    floor: Arc<AtomicU64>,
    /// Up to here whole tables of the log were dropped.
    dropped: Revision,
    syncs: u64,
    /// Held as long as the store is open.
    lock: File,
}

#[derive(Clone)]
struct Tables {
    database: Database,
    objects: ::fjall::Keyspace,
    log: ::fjall::Keyspace,
    decisions: ::fjall::Keyspace,
    meta: ::fjall::Keyspace,
}

impl FjallBackend {
    /// Opens the store in `directory`, or begins one there.
    ///
    /// # Errors
    /// When another process has it open, when it is damaged, or when the disk fails.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(directory).map_err(|error| failed("create the data directory", &error))?;
        let lock = lock(directory)?;
        let mark = Mark::open(&directory.join("acknowledged"))?;
        let path = directory.join("fjall");
        journal::inspect(&path, mark.revision())?;
        let floor = Arc::new(AtomicU64::new(0));
        let tables = Tables::open(&path, floor.clone())?;
        Ok(Self { tables, mark, floor, dropped: Revision(0), syncs: 0, lock })
    }

    /// Whether the files are still in the directory. Files that were deleted take all that is written, and end with the process.
    fn check_directory(&self) -> Result<(), BackendError> {
        let is_deleted = self.lock.metadata().is_ok_and(|lock| lock.nlink() == 0);
        let advice = "its files were deleted while it runs: what is written is lost when it ends";
        if is_deleted { Err(failed("write a group", &advice)) } else { Ok(()) }
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| failed("open the lock", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(already_running(directory)),
        Err(TryLockError::Error(error)) => Err(failed("lock the data directory", &error).into()),
    }
}

fn already_running(path: &Path) -> OpenError {
    OpenError::AlreadyRunning { path: path.display().to_string() }
}

fn failed(verb: &'static str, reason: &dyn std::fmt::Display) -> BackendError {
    BackendError { verb, reason: reason.to_string() }
}

impl Tables {
    fn open(path: &PathBuf, floor: Arc<AtomicU64>) -> Result<Self, OpenError> {
        let filter = move |keyspace: &str| -> Option<Arc<dyn Factory>> {
            (keyspace == "log").then(|| Arc::new(BelowFloor(floor.clone())) as Arc<dyn Factory>)
        };
        let database = Database::builder(path)
            .max_journaling_size(JOURNALS_BYTES_MAX)
            .cache_size(CACHE_BYTES)
            .worker_threads(WORKERS)
            .with_compaction_filter_factories(Arc::new(filter))
            .open()
            .map_err(|error| match error {
                ::fjall::Error::Locked => already_running(path),
                error => failed("open the database", &error).into(),
            })?;
        let table = |name: &str, bytes: u64| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(bytes);
            database.keyspace(name, options).map_err(|error| failed("open a keyspace", &error))
        };
        Ok(Self {
            objects: table("objects", MEMTABLE_BYTES)?,
            log: table("log", MEMTABLE_BYTES)?,
            decisions: table("decisions", MEMTABLE_BYTES)?,
            meta: table("meta", SMALL_MEMTABLE_BYTES)?,
            database,
        })
    }

    fn table(&self, keyspace: Keyspace) -> &::fjall::Keyspace {
        match keyspace {
            Keyspace::Objects => &self.objects,
            Keyspace::Log => &self.log,
            Keyspace::Decisions => &self.decisions,
            Keyspace::Meta => &self.meta,
        }
    }

    fn write(&self, group: Group) -> ::fjall::Result<()> {
        // The journal is written in order, so what is only handed to the system now is durable with the next group.
        let mode = if group.has_changes { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for row in group.rows {
            let table = self.table(row.keyspace);
            match row.value {
                Some(value) => batch.insert(table, row.key, value),
                None => batch.remove(table, row.key),
            }
        }
        batch.commit()
    }
}

impl Backend for FjallBackend {
    fn acknowledged(&self) -> Revision {
        self.mark.revision()
    }

    fn append(&mut self, group: Group) -> Result<(), BackendError> {
        let syncs = u64::from(group.has_changes);
        if let Some(mark) = group.acknowledged {
            // As often as the mark moves: with every group it would be a call of the system more.
            self.check_directory()?;
            self.mark.begin(mark);
        }
        let written = self.tables.write(group).map_err(|error| match error {
            // fjall names the first failure in its log only.
            ::fjall::Error::Poisoned => failed("write a group", &"the disk failed or is full; free space and restart"),
            error => failed("write a group", &error),
        });
        let marked = self.mark.finish().map_err(|error| failed("write the high-water mark", &error));
        self.syncs += syncs;
        written.and(marked)
    }

    fn trim(&mut self, floor: Revision) {
        self.floor.store(floor.0, Ordering::Release);
        if floor.0 - self.dropped.0 < DROP_STEP {
            return;
        }
        // Keys only grow, so tables never overlap and compaction moves them without looking inside: they are dropped here.
        match self.tables.log.tree.drop_range(..=floor.0.to_be_bytes()) {
            Ok(()) => self.dropped = floor,
            Err(error) => tracing::warn!(%error, "the log's old tables stay"),
        }
    }

    fn settle(&mut self, acknowledged: Revision) -> Result<(), BackendError> {
        self.mark.begin(acknowledged);
        self.mark.finish().map_err(|error| failed("write the high-water mark", &error))
    }

    fn archive(&self) -> Arc<dyn Archive> {
        Arc::new(self.tables.clone())
    }

    fn syncs(&self) -> u64 {
        self.syncs + self.mark.syncs()
    }
}

impl Archive for Tables {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let found = self.table(keyspace).get(key).map_err(|error| failed("read a row", &error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), BackendError> {
        for row in self.table(keyspace).range(from..to) {
            let (key, value) = row.into_inner().map_err(|error| failed("read rows", &error))?;
            if visit(&key, &value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

/// Lets compaction destroy log rows at or below the floor. Each is written once, so nothing older can come to light.
struct BelowFloor(Arc<AtomicU64>);

impl Factory for BelowFloor {
    fn name(&self) -> &'static str {
        "below the floor"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Trim { floor: self.0.load(Ordering::Acquire) })
    }
}

struct Trim {
    floor: u64,
}

impl CompactionFilter for Trim {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        let revision = <[u8; 8]>::try_from(&**item.key()).map(u64::from_be_bytes);
        Ok(if revision.is_ok_and(|revision| revision <= self.floor) { Verdict::Destroy } else { Verdict::Keep })
    }
}

/// Makes a new or renamed file of `directory` durable.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
