//! A backend in memory, with the faults of a disk: for tests and simulation.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imbl::OrdMap;

use super::{Archive, Backend, BackendError, Group, Keyspace, Row, Visit};
use crate::object::Revision;

/// What survives the process. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Platter>>);

#[derive(Clone, Default)]
struct Platter {
    /// Shared structurally, so that a copy of the disk costs nothing until it is written to.
    rows: OrdMap<(Keyspace, Arc<[u8]>), Arc<[u8]>>,
    /// Written but not durable: what a power cut takes.
    pending: Vec<Group>,
    acknowledged: Revision,
    syncs: u64,
    crash: Option<Crash>,
    floor: Revision,
}

/// When the process is to die: at the next group with changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The group was not written, or torn: nothing of it is there afterwards.
    BeforeDurable,
    /// The group was written, but nobody heard of it.
    AfterDurable,
}

impl MemoryDisk {
    /// Fails the next group with changes, and all after it, until [`restart`](Self::restart).
    pub fn crash_next(&self, crash: Crash) {
        self.platter().crash = Some(crash);
    }

    /// Whether a crash asked for has not happened yet or has not been followed by a restart.
    pub fn is_crashing(&self) -> bool {
        self.platter().crash.is_some()
    }

    /// The machine comes up after a power cut: what was not durable is gone.
    pub fn restart(&self) -> MemoryBackend {
        let mut platter = self.platter();
        platter.pending.clear();
        platter.crash = None;
        drop(platter);
        MemoryBackend { disk: self.clone(), is_dead: false }
    }

    /// A disk of its own with the same on it: a simulation goes on two ways.
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.platter().clone())))
    }

    /// Changes a stored value behind the store's back.
    pub fn damage(&self, keyspace: Keyspace, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut platter = self.platter();
        if let Some(row) = platter.rows.get_mut(&(keyspace, key.into())) {
            let mut value = row.to_vec();
            change(&mut value);
            *row = value.into();
        }
    }

    /// Loses a row behind the store's back.
    pub fn lose(&self, keyspace: Keyspace, key: &[u8]) {
        self.platter().rows.remove(&(keyspace, key.into()));
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    fn sync(&mut self) {
        for row in std::mem::take(&mut self.pending).into_iter().flat_map(|group| group.rows) {
            let Row { keyspace, key, value } = row;
            match value {
                Some(value) => self.rows.insert((keyspace, key.into()), value.into()),
                None => self.rows.remove(&(keyspace, key.into())),
            };
        }
        self.syncs += 1;
    }
}

/// Keeps everything on a [`MemoryDisk`].
pub struct MemoryBackend {
    disk: MemoryDisk,
    is_dead: bool,
}

impl MemoryBackend {
    /// The disk it writes to.
    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// A backend in the same condition on a disk of its own with the same on it.
    pub(in crate::store) fn fork(&self) -> Self {
        Self { disk: self.disk.fork(), is_dead: self.is_dead }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        MemoryDisk::default().restart()
    }
}

fn died() -> BackendError {
    BackendError { verb: "write a group", reason: "the simulated process has crashed".to_owned() }
}

impl Backend for MemoryBackend {
    fn acknowledged(&self) -> Revision {
        self.disk.platter().acknowledged
    }

    fn append(&mut self, group: Group) -> Result<(), BackendError> {
        if self.is_dead {
            return Err(died());
        }
        let mut platter = self.disk.platter();
        let crash = platter.crash.filter(|_| group.has_changes);
        if crash == Some(Crash::BeforeDurable) {
            self.is_dead = true;
            return Err(died());
        }
        platter.acknowledged = group.acknowledged.map_or(platter.acknowledged, |mark| platter.acknowledged.max(mark));
        let has_changes = group.has_changes;
        platter.pending.push(group);
        if has_changes {
            platter.sync();
        }
        self.is_dead = crash.is_some();
        if self.is_dead { Err(died()) } else { Ok(()) }
    }

    fn trim(&mut self, floor: Revision) {
        let mut platter = self.disk.platter();
        let row = |revision: Revision| (Keyspace::Log, revision.0.to_be_bytes().into());
        let gone = platter.rows.range(row(platter.floor.next())..row(floor.next()));
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            platter.rows.remove(&key);
        }
        platter.floor = floor;
    }

    fn settle(&mut self, acknowledged: Revision) -> Result<(), BackendError> {
        let mut platter = self.disk.platter();
        platter.acknowledged = platter.acknowledged.max(acknowledged);
        Ok(())
    }

    fn archive(&self) -> Arc<dyn Archive> {
        Arc::new(self.disk.clone())
    }

    fn syncs(&self) -> u64 {
        self.disk.platter().syncs
    }
}

impl Archive for MemoryDisk {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        let platter = self.platter();
        let pending = platter.pending.iter().rev().flat_map(|group| &group.rows);
        let mut unsynced =
            pending.filter(|row| row.keyspace == keyspace && row.key == key).map(|row| row.value.clone());
        let stored = || platter.rows.get(&(keyspace, key.into())).map(|value| value.to_vec());
        Ok(unsynced.next().unwrap_or_else(stored))
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), BackendError> {
        let platter = self.platter();
        let bound = |key: &[u8]| (keyspace, key.into());
        let stored = platter.rows.range::<_, (Keyspace, Arc<[u8]>)>(bound(from)..bound(to));
        let mut found: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            stored.map(|((_, key), value)| (key.to_vec(), Some(value.to_vec()))).collect();
        for row in platter.pending.iter().flat_map(|group| &group.rows).filter(|row| row.keyspace == keyspace) {
            if (from..to).contains(&row.key.as_slice()) {
                found.insert(row.key.clone(), row.value.clone());
            }
        }
        drop(platter);
        for (key, value) in found {
            if let Some(value) = value
                && visit(&key, &value) == ControlFlow::Break(())
            {
                break;
            }
        }
        Ok(())
    }
}
