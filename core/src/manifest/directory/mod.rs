//! The directory as a state: advanced by what is read and heard, asked what to do next.
//!
//! Nothing here touches a disk, a clock or the store: the shell around it reads files, carries out [`Task`]s and tells what
//! became of them.

mod outlook;
mod removal;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::manifest::claims::{Claim, Claims, rank};
use crate::manifest::document::Document;
use crate::manifest::file::{File, Observation};
use crate::manifest::inventory::{Inventory, Record};
use crate::manifest::problem::Problem;
use crate::manifest::setting::Drift;
use crate::object::{Name, ObjectKey, Revision};
use crate::resource::Registry;

/// How soon after something went a scan looks what there is: a rename deletes before it creates, and the object stays with its new file.
const SETTLE: SignedDuration = SignedDuration::from_millis(200);
/// How often the directory is read through, should the system have lost an event.
const RESCAN_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// How long changes of an object are gathered before its fields are compared with its file.
const DRIFT_GATHERED: SignedDuration = SignedDuration::from_millis(20);
/// The wait before the first retry of something refused; it doubles.
const RETRY_FIRST: SignedDuration = SignedDuration::from_millis(250);
/// The longest wait between retries.
const RETRY_MAX: SignedDuration = SignedDuration::from_secs(30);

use removal::Grace;
pub use tasks::{Applied, Apply, Prune, Task};

/// What a scan of the whole directory found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The manifests, by their path below the root.
    pub files: BTreeMap<Name, Observation>,
    /// The directories below the root.
    pub directories: BTreeSet<Name>,
    /// Those that cannot be read, and why: they speak for none of their files.
    pub unreadable: BTreeMap<Name, String>,
}

impl Scan {
    /// Why it cannot be told what became of a file; `None` where it can.
    fn unreadable(&self, file: &str) -> Option<&String> {
        let holds = |folder: &str| file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.unreadable.iter().find(|(folder, _)| holds(folder)).map(|(_, reason)| reason)
    }
}

/// The watched directory.
pub struct Directory {
    files: BTreeMap<Name, File>,
    inventory: Inventory,
    claims: Claims,
    objects: BTreeMap<ObjectKey, ObjectState>,
    /// The objects that are due some time, in the order they are applied in.
    queue: BTreeMap<Place, ObjectKey>,
    prunes: BTreeMap<ObjectKey, Retry>,
    /// Namespaces and definitions without a document, and the files that hold objects which would go with them.
    kept: BTreeMap<ObjectKey, BTreeSet<Name>>,
    reported: BTreeMap<Name, Value>,
    /// Files whose `ManifestFile` may no longer say what is.
    stale: BTreeSet<Name>,
    /// The documents of the file that is being applied, so that it is read once.
    parsed: Option<(Name, Vec<Document>)>,
    root_problem: Option<String>,
    /// Whether what is gone now went before anybody watched: since the start, or while the root was missing.
    found_at_start: bool,
    was_scanned: bool,
    scan_due: Option<Timestamp>,
    /// When something last went that no scan has looked for.
    vanished_at: Option<Timestamp>,
    /// Objects whose documents went and may still come back.
    gone: BTreeMap<ObjectKey, Grace>,
}

/// What is known of an object that a document speaks for.
#[derive(Debug, Default)]
struct ObjectState {
    applied_hash: Option<u64>,
    /// The document that was refused, where the last one tried was.
    refused_hash: Option<u64>,
    revision: Revision,
    due: Option<Timestamp>,
    failures: u32,
    problems: Vec<Problem>,
    waits: bool,
    drifted: Vec<String>,
}

/// Where an object stands in the order of application: definitions and namespaces first, then as the files stand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u8, Name, usize);

impl Place {
    fn of(key: &ObjectKey, claim: &Claim) -> Self {
        Self(rank(key), claim.file.clone(), claim.index)
    }
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
            queue: BTreeMap::new(),
            prunes: BTreeMap::new(),
            kept: BTreeMap::new(),
            reported: reported.into_iter().filter_map(by_path).collect(),
            stale: BTreeSet::new(),
            parsed: None,
            root_problem: None,
            found_at_start: true,
            was_scanned: false,
            scan_due: Some(Timestamp::UNIX_EPOCH),
            vanished_at: None,
            gone: BTreeMap::new(),
        }
    }

    /// A file was read.
    pub fn observed(&mut self, path: &Name, observation: &Observation, registry: &Registry, now: Timestamp) {
        if self.files.entry(path.clone()).or_default().observe(path, observation) {
            self.stale.insert(path.clone());
            self.settle_claims(registry, now);
            if !self.unclaimed().is_empty() {
                self.vanished(now);
            }
        }
    }

    /// Something is gone, or moved: a scan soon tells what, and a later one, once all is quiet, takes it for gone.
    pub fn vanished(&mut self, now: Timestamp) {
        self.scan_due = Some(self.scan_due.map_or(now + SETTLE, |due| due.min(now + SETTLE)));
        self.vanished_at = Some(now);
        self.gone.values_mut().for_each(|grace| grace.renew(now));
    }

    /// Events were lost: read everything.
    pub fn lost_track(&mut self, now: Timestamp) {
        self.scan_due = Some(now);
    }

    /// Whether the directory is to be read through now.
    pub fn wants_scan(&self, now: Timestamp) -> bool {
        self.next_scan().is_some_and(|due| due <= now)
    }

    fn next_scan(&self) -> Option<Timestamp> {
        self.scan_due.into_iter().chain(self.gone.values().map(|grace| grace.ends)).min()
    }

    /// The directory was read through, or cannot be. Only this concludes that something is gone.
    pub fn scanned(&mut self, scan: Result<Scan, String>, registry: &Registry, now: Timestamp) {
        self.scan_due = Some(now + RESCAN_EVERY);
        let scan = match scan {
            Ok(scan) => scan,
            Err(reason) => {
                self.stale.extend(self.known_files());
                self.root_problem = Some(reason);
                self.found_at_start = true;
                self.was_scanned = true;
                self.vanished_at = None;
                self.gone.clear();
                return;
            }
        };
        let mut changed = self.found_at_start;
        for (path, observation) in &scan.files {
            changed |= self.files.entry(path.clone()).or_default().observe(path, observation);
        }
        // Also what only earlier lives have seen: what it held stays as it was.
        for path in self.known_files() {
            if let Some(reason) = scan.unreadable(&path) {
                let observation = Observation::Unreadable(reason.clone());
                changed |= self.files.entry(path.clone()).or_default().observe(&path, &observation);
            }
        }
        for (path, file) in &mut self.files {
            if !scan.files.contains_key(path) && scan.unreadable(path).is_none() && !file.gone {
                file.vanish();
                changed = true;
            }
        }
        self.root_problem = None;
        if changed {
            self.settle_claims(registry, now);
            self.stale.extend(self.known_files());
        }
        self.conclude_removals(&scan, now);
        self.found_at_start &= !self.gone.is_empty();
        self.was_scanned = true;
    }

    fn known_files(&self) -> Vec<Name> {
        self.files.keys().chain(self.inventory.files.keys()).chain(self.reported.keys()).cloned().collect()
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
        let due = state.due.map_or(now + DRIFT_GATHERED, |due| due.min(now + DRIFT_GATHERED));
        self.queue_for(&key.clone(), due);
    }

    fn queue_for(&mut self, key: &ObjectKey, due: Timestamp) {
        let Some(claim) = self.claims.owners.get(key) else { return };
        let Some(state) = self.objects.get_mut(key) else { return };
        state.due = Some(due);
        self.queue.insert(Place::of(key, claim), key.clone());
    }

    /// It is not known what has changed: every object is compared with its file.
    pub fn compare_all(&mut self, now: Timestamp) {
        let compared = self.objects.iter().filter(|(key, state)| {
            let ignored = self.claims.owners.get(key).is_some_and(|claim| claim.drift == Drift::Ignore);
            !ignored && state.due.is_none() && state.problems.is_empty()
        });
        let compared: Vec<ObjectKey> = compared.map(|(key, _)| key.clone()).collect();
        for key in &compared {
            self.queue_for(key, now);
        }
    }

    /// A namespace came or went: what was refused for the lack of it is tried again.
    pub fn namespace_changed(&mut self, name: &str, now: Timestamp) {
        let inside = |key: &ObjectKey| key.namespace.as_deref() == Some(name);
        let waiting = self.objects.iter().filter(|(key, state)| state.waits && inside(key));
        let waiting: Vec<ObjectKey> = waiting.map(|(key, _)| key.clone()).collect();
        for key in &waiting {
            self.queue_for(key, now);
        }
    }

    /// A `ManifestFile` was changed by somebody else. Gone, it is written again; annotated, its held deletions happen.
    pub fn report_changed(&mut self, path: &str, confirmed: bool, exists: bool) {
        if !exists {
            self.reported.remove(path);
            self.stale.insert(path.into());
        }
        if confirmed {
            self.confirm_file(path);
        }
    }

    /// Sorts out anew who speaks for what, and what is to be applied.
    fn settle_claims(&mut self, registry: &Registry, now: Timestamp) {
        self.parsed = None;
        self.stale.extend(self.claims.refused.iter().map(|(file, _)| file.clone()));
        self.claims = Claims::of(&self.files, &self.inventory, registry);
        self.stale.extend(self.claims.refused.iter().map(|(file, _)| file.clone()));
        self.objects.retain(|key, _| self.claims.owners.contains_key(key));
        self.queue.clear();
        for (key, claim) in &self.claims.owners {
            self.prunes.remove(key);
            self.kept.remove(key);
            self.gone.remove(key);
            let known = self.objects.contains_key(key);
            let state = self.objects.entry(key.clone()).or_default();
            if let Some(entry) = self.inventory.objects.get_mut(key) {
                if !known && entry.file == claim.file && is_recorded(&self.files, &self.inventory.files, &claim.file) {
                    state.applied_hash = Some(claim.hash);
                }
                if (&entry.file, entry.line) != (&claim.file, claim.line) {
                    self.stale.extend([entry.file.clone(), claim.file.clone()]);
                }
                (entry.file, entry.line, entry.held) = (claim.file.clone(), claim.line, None);
            }
            // What was refused as it is waits for a change of its own, or for what it lacks.
            let is_news = state.applied_hash != Some(claim.hash) && state.refused_hash != Some(claim.hash);
            if !known || is_news {
                state.due = Some(now);
                state.failures = 0;
            }
            if state.due.is_some() {
                self.queue.insert(Place::of(key, claim), key.clone());
            }
        }
        self.release_kept();
    }

    /// When to be asked again even if nothing happens.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let applies = self.queue.values().filter_map(|key| self.objects.get(key)?.due);
        let prunes = self.prunes.values().filter_map(|retry| retry.due);
        applies.chain(prunes).chain(self.next_scan()).min()
    }
}

/// Whether what a file holds is what was applied of it before.
fn is_recorded(files: &BTreeMap<Name, File>, records: &BTreeMap<Name, Record>, file: &Name) -> bool {
    let content = files.get(file).and_then(File::content_hash);
    content.is_some() && content.as_ref() == records.get(file).map(|record| &record.content_hash)
}
