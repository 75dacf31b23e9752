//! What is to be done, and what became of it.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::outlook::refusal_problems;
use super::{Directory, ObjectState, Place, RETRY_FIRST, RETRY_MAX, Retry};
use crate::manifest::claims::{Claim, rank};
use crate::manifest::document::Document;
use crate::manifest::file::File;
use crate::manifest::inventory::Entry;
use crate::manifest::setting::Drift;
use crate::object::{Name, ObjectKey, Revision, Uid};
use crate::resource::Served;
use crate::status::Status;

/// Something to do.
pub enum Task {
    /// Apply a document.
    Apply(Box<Apply>),
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

impl Directory {
    /// What to do now, one thing at a time; `None` where nothing is.
    pub fn next_task(&mut self, now: Timestamp) -> Option<Task> {
        if let Some(apply) = self.next_apply(now) {
            return Some(Task::Apply(Box::new(apply)));
        }
        self.parsed = None;
        self.next_prune(now).map(Task::Prune).or_else(|| self.next_report())
    }

    fn next_apply(&mut self, now: Timestamp) -> Option<Apply> {
        let is_due =
            |key: &ObjectKey| self.objects.get(key).is_some_and(|state| state.due.is_some_and(|due| due <= now));
        let key = self.queue.values().find(|key| is_due(key))?.clone();
        let claim = self.claims.owners.get(&key)?.clone();
        let state = self.objects.get(&key)?;
        let compare_only = claim.drift != Drift::Enforce && state.applied_hash == Some(claim.hash);
        let document = self.document(&claim)?;
        Some(Apply { key, served: claim.served, file: claim.file, document, compare_only })
    }

    /// A document of the last good text of its file.
    fn document(&mut self, claim: &Claim) -> Option<Document> {
        if self.parsed.as_ref().is_none_or(|(file, _)| *file != claim.file) {
            self.parsed = Some((claim.file.clone(), self.files.get(&claim.file)?.read_again(&claim.file)));
        }
        self.parsed.as_ref()?.1.get(claim.index).cloned()
    }

    fn next_prune(&self, now: Timestamp) -> Option<Prune> {
        let due = |retry: &Retry| retry.due.is_none_or(|due| due <= now);
        // Namespaces last: what is in them goes in order first.
        let ready = self.prunes.iter().filter(|(_, retry)| due(retry));
        let (key, _) = ready.max_by_key(|(key, _)| (rank(key), std::cmp::Reverse((*key).clone())))?;
        let entry = self.inventory.objects.get(key)?;
        Some(Prune { key: key.clone(), uid: entry.uid.clone(), file: entry.file.clone(), line: entry.line })
    }

    fn next_report(&mut self) -> Option<Task> {
        while let Some(path) = self.stale.pop_first() {
            let task = self.report_on(&path);
            if task.is_some() {
                return task;
            }
        }
        None
    }

    fn report_on(&mut self, path: &Name) -> Option<Task> {
        let gone = self.files.get(path).is_none_or(|file| file.gone);
        let empty = self.inventory.of_file(path).next().is_none();
        // Before the first scan nothing is known of any file.
        if gone && empty && !self.found_at_start {
            return self.reported.contains_key(path).then(|| Task::Forget { file: path.clone() });
        }
        if gone && self.found_at_start && self.root_problem.is_none() {
            return None;
        }
        self.note_content(path);
        let object = self.report(path, gone);
        (self.reported.get(path) != Some(&object)).then(|| Task::Report { file: path.clone(), object })
    }

    /// Notes the content of a file as applied once every object in it is.
    fn note_content(&mut self, path: &Name) {
        let Some(content_hash) = self.files.get(path).and_then(File::content_hash) else { return };
        let mut claims = self.claims.of_file(path);
        let settled = claims
            .all(|(key, claim)| self.objects.get(key).is_some_and(|state| state.applied_hash == Some(claim.hash)));
        if let Some(record) = self.inventory.files.get_mut(path).filter(|_| settled) {
            record.content_hash = content_hash;
        }
    }

    /// A document was applied, or refused.
    pub fn applied(&mut self, apply: &Apply, result: Result<Applied, Status>, now: Timestamp) {
        let Some(claim) = self.claims.owners.get(&apply.key).cloned() else { return };
        let text = self.files.get(&claim.file).and_then(|file| file.text.clone()).unwrap_or_default();
        let Some(state) = self.objects.get_mut(&apply.key) else { return };
        self.stale.insert(claim.file.clone());
        match result {
            Ok(applied) => {
                let news = applied.changed || state.applied_hash != Some(claim.hash);
                *state = ObjectState {
                    applied_hash: Some(claim.hash),
                    revision: applied.revision,
                    drifted: applied.drifted,
                    ..ObjectState::default()
                };
                self.record(&apply.key, &claim, applied.uid, news.then_some((applied.revision, now)));
            }
            Err(status) => {
                state.refused_hash = Some(claim.hash);
                state.problems = refusal_problems(&status, &apply.document, &text);
                state.waits = !matches!(status.code, 400 | 413 | 422);
                state.due = state.waits.then(|| now + backoff(state.failures));
                state.failures += 1;
            }
        }
        if state_is_done(self.objects.get(&apply.key)) {
            self.queue.remove(&Place::of(&apply.key, &claim));
        }
    }

    fn record(&mut self, key: &ObjectKey, claim: &Claim, uid: Option<Uid>, news: Option<(Revision, Timestamp)>) {
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
            record.applied_at = whole_seconds(now).to_string();
        }
    }

    /// An object was deleted, or released: it is no longer the directory's. Or its deletion was refused.
    pub fn pruned(&mut self, key: &ObjectKey, result: Result<(), Status>, now: Timestamp) {
        let Err(status) = result else {
            self.prunes.remove(key);
            let entry = self.inventory.objects.remove(key);
            self.stale.extend(entry.map(|entry| entry.file));
            return;
        };
        self.stale.extend(self.inventory.objects.get(key).map(|entry| entry.file.clone()));
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
}

/// The second a moment lies in: one that has begun, never one to come.
fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

fn state_is_done(state: Option<&ObjectState>) -> bool {
    state.is_none_or(|state| state.due.is_none())
}

/// How long to wait after so many failures in a row.
fn backoff(failures: u32) -> SignedDuration {
    RETRY_FIRST.saturating_mul(1 << failures.min(16)).min(RETRY_MAX)
}
