//! How the directory stands: the problems of its files, and their `ManifestFile`s.

use serde_json::Value;

use super::{Directory, ObjectState};
use crate::manifest::claims::Claim;
use crate::manifest::document::Document;
use crate::manifest::inventory::Entry;
use crate::manifest::position::Position;
use crate::manifest::problem::Problem;
use crate::manifest::report::{Phase, Report};
use crate::object::{Name, ObjectKey};
use crate::status::Status;

impl Directory {
    pub(super) fn report(&self, path: &Name, gone: bool) -> Value {
        let (problems, waits) = self.problems(path);
        let drift = |key| self.claims.owners.get(key).map(|claim| claim.drift);
        let objects: Vec<_> = self.inventory.of_file(path).map(|(key, entry)| (key, entry, drift(key))).collect();
        let held = objects.iter().any(|(_, entry, _)| entry.held.is_some());
        // Drift that is only warned of leaves the file applied.
        let only_drift = problems.len() == self.claims.of_file(path).filter(|(key, _)| self.has_drifted(key)).count();
        let phase = if gone && held {
            Phase::Gone
        } else if only_drift {
            Phase::Applied
        } else if waits {
            Phase::Waiting
        } else {
            Phase::Invalid
        };
        let record = self.inventory.files.get(path).cloned().unwrap_or_default();
        Report { path, phase, record: &record, objects, problems }.to_value()
    }

    fn has_drifted(&self, key: &ObjectKey) -> bool {
        self.objects.get(key).is_some_and(|state| !state.drifted.is_empty())
    }

    /// What stands in the way of a file, and whether all of it may go by itself or by a confirmation.
    fn problems(&self, path: &Name) -> (Vec<Problem>, bool) {
        let mut found = Vec::new();
        let mut waits = true;
        if let Some(reason) = &self.root_problem {
            found.push(Problem::new(Position::START, format!("{reason}. Nothing is removed because of that")));
        }
        if let Some(problem) = self.files.get(path).and_then(|file| file.problem.as_ref()) {
            found.push(self.with_consequence(path, problem));
            waits = false;
        }
        for (_, refused) in self.claims.refused.iter().filter(|(file, _)| file == path) {
            found.push(refused.problem.clone());
            waits &= refused.waits;
        }
        for (key, claim) in self.claims.of_file(path) {
            let Some(state) = self.objects.get(key) else { continue };
            found.extend(state.problems.iter().cloned());
            found.extend(drift_problem(claim, state));
            waits &= state.waits || state.problems.is_empty();
        }
        for (key, entry) in self.inventory.of_file(path) {
            found.extend(self.removal_problem(key, entry));
        }
        found.sort_by_key(|problem| problem.at);
        (found, waits)
    }

    /// The problem of a file as it is now, and what it means for what the file held. A text that is shown shows that.
    fn with_consequence(&self, path: &str, problem: &Problem) -> Problem {
        let mut problem = problem.clone();
        if problem.snippet.is_empty() && self.inventory.of_file(path).next().is_some() {
            problem.message.push_str(". What it held stays as it was");
        }
        problem
    }

    /// Why an object without a document is still there.
    fn removal_problem(&self, key: &ObjectKey, entry: &Entry) -> Option<Problem> {
        let at = Position { line: entry.line, column: 1 };
        let name = match key.namespace.as_deref() {
            Some(namespace) => format!("{} {namespace}/{}", entry.kind, key.name),
            None => format!("{} {}", entry.kind, key.name),
        };
        let message = if let Some(reason) = &entry.held {
            format!("{name} is not deleted: {reason}. Run `sampan prune --confirm` to delete, or bring its file back")
        } else if let Some(reason) = self.held_because(key, entry) {
            format!("{reason}. It goes once they are gone, or by `sampan prune --confirm {}`", entry.file)
        } else {
            format!("{name} cannot be deleted: {}", self.prunes.get(key)?.problem.as_ref()?)
        };
        Some(Problem::new(at, message).of(name))
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

/// One problem for each field at fault, at its place in the file.
pub(super) fn refusal_problems(status: &Status, document: &Document, text: &str) -> Vec<Problem> {
    let about = document.identity.to_string();
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let fields = causes.iter().filter(|cause| !cause.field.is_empty());
    let mut found: Vec<Problem> = fields
        .map(|cause| {
            // A field that should not be there is its key's fault, a wrong value the value's.
            let at = if cause.message.contains("unknown field") {
                document.spans.locate_key(&cause.field)
            } else {
                document.spans.locate(&cause.field)
            };
            // Some messages name the field themselves.
            let message = if cause.message.contains(&cause.field) {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            };
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
