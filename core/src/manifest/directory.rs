//! The directory as a state: advanced by what is read and heard, asked what to do next.
//!
//! Nothing here touches a disk, a clock or the store: the shell around it reads files, carries out [`Task`]s and tells what
//! became of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::claims::{Claim, Claims, rank};
use super::document::Document;
use super::file::{File, Observation};
use super::guard::Removal;
use super::inventory::{Entry, Inventory};
use super::position::Position;
use super::problem::Problem;
use super::report::{Phase, Report};
use super::setting::Drift;
use crate::object::{Name, ObjectKey, Revision, Uid};
use crate::resource::{Registry, Served};
use crate::status::Status;

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

/// What a scan of the whole directory found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The manifests, by their path below the root.
    pub files: BTreeMap<Name, Observation>,
    /// The directories below the root.
    pub directories: BTreeSet<Name>,
}

/// Something to do.
pub enum Task {
    /// Apply a document.
    Apply(Apply),
    /// Delete an object whose document is gone.
    Prune(Prune),
    /// Write a `ManifestFile`.
    Report {
        /// The file.
        file: Name,
        /// The object, with its status.
        object: Value,
    },
    /// Delete the `ManifestFile` of a file that is gone with all its objects.
    Forget {
        /// The file.
        file: Name,
    },
}

/// A document to apply.
pub struct Apply {
    /// The object.
    pub key: ObjectKey,
    /// What serves it.
    pub served: Served,
    /// Where it comes from.
    pub file: Name,
    /// The document.
    pub document: Document,
    /// Only to be compared: the file wants drift reported, not repaired.
    pub compare_only: bool,
}

/// An object to delete.
pub struct Prune {
    /// The object.
    pub key: ObjectKey,
    /// This one, never another of its name.
    pub uid: Uid,
    /// The file it was in.
    pub file: Name,
    /// The line it was at.
    pub line: u32,
}

/// What became of a document that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The object's identity; `None` where comparing found that it does not exist.
    pub uid: Option<Uid>,
    /// The revision the object is at.
    pub revision: Revision,
    /// Whether anything was written.
    pub changed: bool,
    /// The fields that differ from the file, where they were only compared.
    pub drifted: Vec<String>,
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

    /// What to do now, one thing at a time; `None` where nothing is.
    pub fn next_task(&self, now: Timestamp) -> Option<Task> {
        self.next_apply(now)
            .map(Task::Apply)
            .or_else(|| self.next_prune(now).map(Task::Prune))
            .or_else(|| self.next_report())
    }

    fn next_apply(&self, now: Timestamp) -> Option<Apply> {
        let due = self.objects.iter().filter(|(_, state)| state.due.is_some_and(|due| due <= now));
        let claimed = due.filter_map(|(key, state)| Some((key, state, self.claims.owners.get(key)?)));
        // Within a rank, in the order the files and their documents stand in.
        let (key, state, claim) = claimed.min_by_key(|(key, _, claim)| (rank(key), claim.file.clone(), claim.index))?;
        let document = self.files.get(&claim.file)?.document(&claim.file, claim.index)?;
        Some(Apply {
            key: key.clone(),
            served: claim.served.clone(),
            file: claim.file.clone(),
            document,
            compare_only: claim.drift != Drift::Enforce && state.applied_hash == Some(claim.hash),
        })
    }

    fn next_prune(&self, now: Timestamp) -> Option<Prune> {
        let due = |retry: &Retry| retry.due.is_none_or(|due| due <= now);
        // Namespaces last: what is in them goes in order first.
        let ready = self.prunes.iter().filter(|(_, retry)| due(retry));
        let (key, _) = ready.max_by_key(|(key, _)| (rank(key), std::cmp::Reverse((*key).clone())))?;
        let entry = self.inventory.objects.get(key)?;
        Some(Prune { key: key.clone(), uid: entry.uid.clone(), file: entry.file.clone(), line: entry.line })
    }

    fn next_report(&self) -> Option<Task> {
        let paths: BTreeSet<&Name> =
            self.files.keys().chain(self.inventory.files.keys()).chain(self.reported.keys()).collect();
        paths.into_iter().find_map(|path| {
            let gone = self.files.get(path).is_none_or(|file| file.gone);
            let empty = self.inventory.of_file(path).next().is_none();
            // Before the first scan nothing is known of any file.
            if gone && empty && !self.found_at_start {
                return self.reported.contains_key(path).then(|| Task::Forget { file: path.clone() });
            }
            if gone && self.found_at_start && self.root_problem.is_none() {
                return None;
            }
            let object = self.report(path, gone);
            (self.reported.get(path) != Some(&object)).then(|| Task::Report { file: path.clone(), object })
        })
    }

    fn report(&self, path: &Name, gone: bool) -> Value {
        let (problems, waits) = self.problems(path);
        let objects: Vec<_> = self.inventory.of_file(path).collect();
        let held = objects.iter().any(|(_, entry)| entry.held.is_some());
        let phase = match problems.is_empty() {
            _ if gone && held => Phase::Gone,
            true => Phase::Applied,
            false if waits => Phase::Waiting,
            false => Phase::Invalid,
        };
        let record = self.inventory.files.get(path).cloned().unwrap_or_default();
        Report { path, phase, record: &record, objects, problems }.to_value()
    }

    /// What stands in the way of a file, and whether all of it may go by itself or by a confirmation.
    fn problems(&self, path: &Name) -> (Vec<Problem>, bool) {
        let mut found = Vec::new();
        let mut waits = true;
        if let Some(reason) = &self.root_problem {
            found.push(Problem::new(Position::START, format!("{reason}. Nothing is removed because of that")));
        }
        if let Some(problem) = self.files.get(path).and_then(|file| file.problem.as_ref()) {
            found.push(problem.clone());
            waits = false;
        }
        for (_, refused) in self.claims.refused.iter().filter(|(file, _)| file == path) {
            found.push(refused.problem.clone());
            waits &= refused.waits;
        }
        for (key, claim) in self.claims.owners.iter().filter(|(_, claim)| claim.file == *path) {
            let Some(state) = self.objects.get(key) else { continue };
            found.extend(state.problems.iter().cloned());
            found.extend(drift_problem(claim, state));
            waits &= state.waits || (state.problems.is_empty() && state.drifted.is_empty());
        }
        for (key, entry) in self.inventory.of_file(path) {
            found.extend(removal_problem(key, entry, self.prunes.get(key)));
        }
        found.sort_by_key(|problem| problem.at);
        (found, waits)
    }

    /// A document was applied, or refused.
    pub fn applied(&mut self, apply: &Apply, result: Result<Applied, Status>, now: Timestamp) {
        let Some(claim) = self.claims.owners.get(&apply.key).cloned() else { return };
        let text = self.files.get(&claim.file).and_then(|file| file.text.clone()).unwrap_or_default();
        let content = self.files.get(&claim.file).and_then(File::content_hash).unwrap_or_default();
        let Some(state) = self.objects.get_mut(&apply.key) else { return };
        match result {
            Ok(applied) => {
                let news = applied.changed || state.applied_hash != Some(claim.hash);
                *state = ObjectState {
                    applied_hash: Some(claim.hash),
                    revision: applied.revision,
                    drifted: applied.drifted,
                    ..ObjectState::default()
                };
                self.record(&apply.key, &claim, applied.uid, content, news.then_some((applied.revision, now)));
            }
            Err(status) => {
                state.problems = refusal_problems(&status, &apply.document, &text);
                state.waits = !matches!(status.code, 400 | 413 | 422);
                state.due = state.waits.then(|| now + backoff(state.failures));
                state.failures += 1;
            }
        }
    }

    fn record(
        &mut self,
        key: &ObjectKey,
        claim: &Claim,
        uid: Option<Uid>,
        content_hash: String,
        news: Option<(Revision, Timestamp)>,
    ) {
        if let Some(uid) = uid {
            let entry = Entry {
                file: claim.file.clone(),
                line: claim.line,
                api_version: claim.identity.api_version(),
                kind: claim.identity.kind.clone(),
                uid,
                held: None,
            };
            self.inventory.objects.insert(key.clone(), entry);
        }
        let record = self.inventory.files.entry(claim.file.clone()).or_default();
        if let Some((revision, now)) = news {
            record.revision = revision.to_string();
            record.applied_at = now.round(jiff::Unit::Second).unwrap_or(now).to_string();
        }
        // The file counts as applied once every object in it is.
        let settled = self
            .claims
            .owners
            .iter()
            .filter(|(_, other)| other.file == claim.file)
            .all(|(key, other)| self.objects.get(key).is_some_and(|state| state.applied_hash == Some(other.hash)));
        if settled {
            record.content_hash = content_hash;
        }
    }

    /// An object was deleted, or released: it is no longer the directory's. Or its deletion was refused.
    pub fn pruned(&mut self, key: &ObjectKey, result: Result<(), Status>, now: Timestamp) {
        let Err(status) = result else {
            self.prunes.remove(key);
            self.inventory.objects.remove(key);
            return;
        };
        let retry = self.prunes.entry(key.clone()).or_default();
        retry.due = Some(now + backoff(retry.failures));
        retry.failures += 1;
        retry.problem = Some(status.message);
    }

    /// A `ManifestFile` was written.
    pub fn reported(&mut self, file: &Name, object: Value) {
        self.reported.insert(file.clone(), object);
    }

    /// A `ManifestFile` was deleted.
    pub fn forgotten(&mut self, file: &Name) {
        self.reported.remove(file);
        self.inventory.files.remove(file);
        if self.files.get(file).is_some_and(|file| file.gone) {
            self.files.remove(file);
        }
    }

    /// When to be asked again even if nothing happens.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let applies = self.objects.values().filter_map(|state| state.due);
        let prunes = self.prunes.values().filter_map(|retry| retry.due);
        applies.chain(prunes).chain(self.scan_due).min()
    }

    /// What is wrong with files, as `path:line:column: message` with the lines around it.
    pub fn file_problems(&self) -> Vec<String> {
        let of_file = |path: &Name| self.problems(path).0;
        let found = self.files.keys().map(|path| (path, of_file(path)));
        found.flat_map(|(path, all)| all.into_iter().map(move |problem| format!("{path}:{problem}"))).collect()
    }

    /// Why nothing can be read, where that is so.
    pub fn root_problem(&self) -> Option<&str> {
        self.root_problem.as_deref()
    }
}

fn backoff(failures: u32) -> SignedDuration {
    RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MAX)
}

/// One problem for each field at fault, at its place in the file.
fn refusal_problems(status: &Status, document: &Document, text: &str) -> Vec<Problem> {
    let about = document.identity.to_string();
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let fields = causes.iter().filter(|cause| !cause.field.is_empty());
    let mut found: Vec<Problem> = fields
        .map(|cause| {
            let at = document.spans.locate(&cause.field);
            let message = format!("{}: {}", cause.field, cause.message);
            Problem::new(at, message).of(&about).in_field(&cause.field).shown_in(text)
        })
        .collect();
    if found.is_empty() {
        found.push(Problem::new(document.spans.at, &status.message).of(&about));
    }
    found
}

fn drift_problem(claim: &Claim, state: &ObjectState) -> Option<Problem> {
    if state.drifted.is_empty() {
        return None;
    }
    let message = format!("{} differs from the file: {}", claim.identity, state.drifted.join(", "));
    Some(Problem::new(Position { line: claim.line, column: 1 }, message).of(claim.identity.to_string()))
}

fn removal_problem(key: &ObjectKey, entry: &Entry, retry: Option<&Retry>) -> Option<Problem> {
    let at = Position { line: entry.line, column: 1 };
    let name = match key.namespace.as_deref() {
        Some(namespace) => format!("{} {namespace}/{}", entry.kind, key.name),
        None => format!("{} {}", entry.kind, key.name),
    };
    if let Some(reason) = &entry.held {
        let message =
            format!("{name} is not deleted: {reason}. Run `sampan prune --confirm` to delete, or bring its file back");
        return Some(Problem::new(at, message).of(name));
    }
    let refused = retry?.problem.as_ref()?;
    Some(Problem::new(at, format!("{name} cannot be deleted: {refused}")).of(name))
}
