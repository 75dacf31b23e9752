//! A backend in memory, with the faults of a disk: for tests and simulation.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Archive, Backend, BackendError, Group, Keyspace, Row, Visit};
use crate::object::Revision;

/// What survives the process. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Platter>>);

#[derive(Clone, Default)]
struct Platter {
    rows: BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>,
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
        if let Some(value) = self.platter().rows.get_mut(&(keyspace, key.to_vec())) {
            change(value);
        }
    }

    /// Loses a row behind the store's back.
    pub fn lose(&self, keyspace: Keyspace, key: &[u8]) {
        self.platter().rows.remove(&(keyspace, key.to_vec()));
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
                Some(value) => self.rows.insert((keyspace, key), value),
                None => self.rows.remove(&(keyspace, key)),
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
        platter.acknowledged = platter.acknowledged.max(group.acknowledged);
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
        let (from, to) = (platter.floor.next().0.to_be_bytes().to_vec(), floor.next().0.to_be_bytes().to_vec());
        let gone = platter.rows.range((Keyspace::Log, from)..(Keyspace::Log, to));
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
        Ok(unsynced.next().unwrap_or_else(|| platter.rows.get(&(keyspace, key.to_vec())).cloned()))
    }

    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), BackendError> {
        let platter = self.platter();
        let stored = platter.rows.range((keyspace, from.to_vec())..(keyspace, to.to_vec()));
        let mut found: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            stored.map(|((_, key), value)| (key.clone(), Some(value.clone()))).collect();
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
