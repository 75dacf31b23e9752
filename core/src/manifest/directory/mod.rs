//! The directory as a state: advanced by what is read and heard, asked what to do next.
//!
//! Nothing here touches a disk, a clock or the store: the shell around it reads files, carries out [`Task`]s and tells what
//! became of them.

mod outlook;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::manifest::claims::Claims;
use crate::manifest::file::{File, Observation};
use crate::manifest::guard::Removal;
use crate::manifest::inventory::{Entry, Inventory};
use crate::manifest::problem::Problem;
use crate::manifest::setting::Drift;
use crate::object::{Name, ObjectKey, Revision};
use crate::resource::Registry;

/// How long files must be quiet before anything is taken for gone: a rename or a checkout deletes before it creates.
const SETTLE: SignedDuration = SignedDuration::from_millis(200);
/// How often the directory is read through, should the system have lost an event.
const RESCAN_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// How long changes of an object are gathered before its fields are compared with its file.
const DRIFT_GATHERED: SignedDuration = SignedDuration::from_millis(20);
/// The wait before the first retry of something refused; it doubles.
const RETRY_FIRST: SignedDuration = SignedDuration::from_millis(250);
/// The longest wait between retries.
const RETRY_MAX: SignedDuration = SignedDuration::from_secs(30);

pub use tasks::{Applied, Apply, Prune, Task};

/// What a scan of the whole directory found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The manifests, by their path below the root.
    pub files: BTreeMap<Name, Observation>,
    /// The directories below the root.
    pub directories: BTreeSet<Name>,
}

/// The watched directory.
pub struct Directory {
    files: BTreeMap<Name, File>,
    inventory: Inventory,
    claims: Claims,
    objects: BTreeMap<ObjectKey, ObjectState>,
    prunes: BTreeMap<ObjectKey, Retry>,
    reported: BTreeMap<Name, Value>,
    root_problem: Option<String>,
    found_at_start: bool,
    scan_due: Option<Timestamp>,
}

/// What is known of an object that a document speaks for.
#[derive(Debug, Default)]
struct ObjectState {
    applied_hash: Option<u64>,
    revision: Revision,
    due: Option<Timestamp>,
    failures: u32,
    problems: Vec<Problem>,
    waits: bool,
    drifted: Vec<String>,
}

/// When something is tried again.
#[derive(Debug, Default)]
struct Retry {
    due: Option<Timestamp>,
    failures: u32,
    problem: Option<String>,
}

impl Directory {
    /// A directory that nothing is known of but what earlier lives left in the store. `reported` are its `ManifestFile`s.
    pub fn new(reported: Vec<Value>, registry: &Registry) -> Self {
        let inventory = Inventory::read(&reported, registry);
        let by_path = |file: Value| {
            let path = file.pointer("/spec/path").and_then(Value::as_str).map(Name::from)?;
            Some((path, file))
        };
        Self {
            files: BTreeMap::new(),
            inventory,
            claims: Claims::default(),
            objects: BTreeMap::new(),
            prunes: BTreeMap::new(),
            reported: reported.into_iter().filter_map(by_path).collect(),
            root_problem: None,
            found_at_start: true,
            scan_due: Some(Timestamp::UNIX_EPOCH),
        }
    }

    /// A file was read.
    pub fn observed(&mut self, path: &Name, observation: &Observation, registry: &Registry, now: Timestamp) {
        if self.files.entry(path.clone()).or_default().observe(path, observation) {
            self.settle_claims(registry, now);
            if !self.unclaimed().is_empty() {
                self.vanished(now);
            }
        }
    }

    /// Something is gone, or moved: once all is quiet, a scan tells what.
    pub fn vanished(&mut self, now: Timestamp) {
        self.scan_due = Some(now + SETTLE);
    }

    /// Events were lost: read everything.
    pub fn lost_track(&mut self, now: Timestamp) {
        self.scan_due = Some(now);
    }

    /// Whether the directory is to be read through now.
    pub fn wants_scan(&self, now: Timestamp) -> bool {
        self.scan_due.is_some_and(|due| due <= now)
    }

    /// The directory was read through, or cannot be. Only this concludes that something is gone.
    pub fn scanned(&mut self, scan: Result<Scan, String>, registry: &Registry, now: Timestamp) {
        self.scan_due = Some(now + RESCAN_EVERY);
        let scan = match scan {
            Ok(scan) => scan,
            Err(reason) => {
                self.root_problem = Some(reason);
                self.found_at_start = true;
                return;
            }
        };
        self.root_problem = None;
        for (path, observation) in &scan.files {
            self.files.entry(path.clone()).or_default().observe(path, observation);
        }
        for (path, file) in &mut self.files {
            if !scan.files.contains_key(path) && !file.gone {
                file.vanish();
            }
        }
        self.settle_claims(registry, now);
        self.conclude_removals(&scan, now);
        self.found_at_start = false;
    }

    /// The kinds served have changed.
    pub fn kinds_changed(&mut self, registry: &Registry, now: Timestamp) {
        self.settle_claims(registry, now);
    }

    /// An object has changed, or is gone.
    pub fn object_changed(&mut self, key: &ObjectKey, revision: Revision, now: Timestamp) {
        let Some(claim) = self.claims.owners.get(key) else { return };
        let Some(state) = self.objects.get_mut(key) else { return };
        if revision <= state.revision || (claim.drift == Drift::Ignore && state.applied_hash == Some(claim.hash)) {
            return;
        }
        state.due = Some(state.due.map_or(now + DRIFT_GATHERED, |due| due.min(now + DRIFT_GATHERED)));
    }

    /// It is not known what has changed: every object is compared with its file.
    pub fn compare_all(&mut self, now: Timestamp) {
        for (key, state) in &mut self.objects {
            let ignored = self.claims.owners.get(key).is_some_and(|claim| claim.drift == Drift::Ignore);
            if !ignored && state.due.is_none() && state.problems.is_empty() {
                state.due = Some(now);
            }
        }
    }

    /// A namespace came or went: what was refused for the lack of it is tried again.
    pub fn namespace_changed(&mut self, name: &str, now: Timestamp) {
        for (key, state) in &mut self.objects {
            if state.waits && key.namespace.as_deref() == Some(name) {
                state.due = Some(now);
            }
        }
    }

    /// A `ManifestFile` was changed by somebody else. Gone, it is written again; annotated, its held deletions happen.
    pub fn report_changed(&mut self, path: &str, confirmed: bool, exists: bool) {
        if !exists {
            self.reported.remove(path);
        }
        if confirmed {
            self.confirm(path);
        }
    }

    /// Lets every held deletion happen; the files they came from.
    pub fn confirm_all(&mut self) -> Vec<Name> {
        let files: BTreeSet<Name> = self.held().map(|(_, entry)| entry.file.clone()).collect();
        for file in &files {
            self.confirm(file);
        }
        files.into_iter().collect()
    }

    /// The objects whose deletion waits for a confirmation.
    pub fn held(&self) -> impl Iterator<Item = (&ObjectKey, &Entry)> {
        self.inventory.objects.iter().filter(|(_, entry)| entry.held.is_some())
    }

    fn confirm(&mut self, path: &str) {
        let held = self.inventory.objects.iter_mut().filter(|(_, entry)| &*entry.file == path && entry.held.is_some());
        for (key, entry) in held {
            entry.held = None;
            self.prunes.insert(key.clone(), Retry::default());
        }
    }

    /// Sorts out anew who speaks for what, and what is to be applied.
    fn settle_claims(&mut self, registry: &Registry, now: Timestamp) {
        self.claims = Claims::of(&self.files, &self.inventory, registry);
        self.objects.retain(|key, _| self.claims.owners.contains_key(key));
        for (key, claim) in &self.claims.owners {
            self.prunes.remove(key);
            let known = self.objects.contains_key(key);
            let state = self.objects.entry(key.clone()).or_default();
            if let Some(entry) = self.inventory.objects.get_mut(key) {
                let content = self.files.get(&claim.file).and_then(File::content_hash);
                let recorded = self.inventory.files.get(&entry.file).map(|record| record.content_hash.clone());
                if !known && entry.file == claim.file && content == recorded {
                    state.applied_hash = Some(claim.hash);
                }
                (entry.file, entry.line, entry.held) = (claim.file.clone(), claim.line, None);
            }
            let settled = state.applied_hash == Some(claim.hash);
            if !known || !settled {
                state.due = Some(now);
                state.failures = 0;
            }
        }
    }

    /// Objects in the inventory that no document speaks for, and whose file says so by being gone or by parsing.
    fn unclaimed(&self) -> Vec<ObjectKey> {
        let spoken = |file: &str| self.files.get(file).is_none_or(|file| file.gone || file.problem.is_none());
        let unclaimed = self.inventory.objects.iter().filter(|(key, entry)| {
            !self.claims.owners.contains_key(key) && entry.held.is_none() && spoken(&entry.file)
        });
        unclaimed.map(|(key, _)| key.clone()).filter(|key| !self.prunes.contains_key(key)).collect()
    }

    fn conclude_removals(&mut self, scan: &Scan, now: Timestamp) {
        let removed = self.unclaimed();
        let entries = removed.iter().filter_map(|key| self.inventory.objects.get(key));
        let files: BTreeSet<Name> = entries.map(|entry| entry.file.clone()).collect();
        let lost = |file: &Name| file.rsplit_once('/').is_some_and(|(folder, _)| !scan.directories.contains(folder));
        let removal = Removal {
            objects: removed.len(),
            of: self.inventory.objects.len(),
            files: files.len(),
            found_at_start: self.found_at_start,
            directory_lost: files.iter().any(lost),
            root_is_empty: scan.files.is_empty(),
        };
        let held = (!removed.is_empty()).then(|| removal.held_because()).flatten();
        for key in removed {
            match (&held, self.inventory.objects.get_mut(&key)) {
                (Some(reason), Some(entry)) => entry.held = Some(reason.clone()),
                _ => {
                    self.prunes.insert(key, Retry { due: Some(now), ..Retry::default() });
                }
            }
        }
    }

    /// When to be asked again even if nothing happens.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let applies = self.objects.values().filter_map(|state| state.due);
        let prunes = self.prunes.values().filter_map(|retry| retry.due);
        applies.chain(prunes).chain(self.scan_due).min()
    }
}
