//! A file's `ManifestFile`: what became of it.

use serde_json::{Value, json};

use super::inventory::{API_VERSION, Entry, KIND, Record};
use super::names;
use super::problem::Problem;
use super::setting::Drift;
use crate::object::ObjectKey;

/// The most problems listed of one file.
const PROBLEMS_MAX: usize = 20;

/// How a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// All of it is applied.
    Applied,
    /// Something in it is wrong; the last good version stays.
    Invalid,
    /// It waits for a kind, a namespace, or a confirmation.
    Waiting,
    /// It is gone, and the deletion of its objects waits for a confirmation.
    Gone,
}

/// Everything a file's object says.
pub(super) struct Report<'a> {
    pub(super) path: &'a str,
    pub(super) phase: Phase,
    pub(super) record: &'a Record,
    /// With what happens when somebody changes them: nothing where no document speaks for them any more.
    pub(super) objects: Vec<(&'a ObjectKey, &'a Entry, Option<Drift>)>,
    pub(super) problems: Vec<Problem>,
}

impl Report<'_> {
    /// The `ManifestFile` object.
    pub(super) fn to_value(&self) -> Value {
        let mut objects: Vec<_> = self.objects.clone();
        objects.sort_by_key(|(key, entry, _)| (entry.line, (*key).clone()));
        let mut status = json!({
            "phase": format!("{:?}", self.phase),
            "objects": objects.into_iter().map(|(key, entry, drift)| object(key, entry, drift)).collect::<Vec<_>>(),
            "problems": self.problems.iter().take(PROBLEMS_MAX).map(problem).collect::<Vec<_>>(),
        });
        let recorded = [
            ("contentHash", &self.record.content_hash),
            ("appliedAt", &self.record.applied_at),
            ("revision", &self.record.revision),
        ];
        for (field, value) in recorded.into_iter().filter(|(_, value)| !value.is_empty()) {
            set(&mut status, field, Value::from(value.as_str()));
        }
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": { "name": names::object_name(self.path) },
            "spec": { "path": self.path },
            "status": status,
        })
    }
}

fn object(key: &ObjectKey, entry: &Entry, drift: Option<Drift>) -> Value {
    let mut value = json!({
        "apiVersion": entry.api_version,
        "kind": entry.kind,
        "name": &*key.name,
        "uid": entry.uid.as_str(),
        "line": entry.line,
    });
    if let Some(namespace) = key.namespace.as_deref() {
        set(&mut value, "namespace", Value::from(namespace));
    }
    if let Some(drift) = drift {
        set(&mut value, "drift", Value::from(drift.as_str()));
    }
    value
}

fn problem(problem: &Problem) -> Value {
    let message = match problem.object.as_str() {
        "" => problem.message.clone(),
        object if problem.message.contains(object) => problem.message.clone(),
        object => format!("{object}: {}", problem.message),
    };
    let mut value = json!({ "line": problem.at.line, "column": problem.at.column, "message": message });
    for (field, text) in [("snippet", &problem.snippet), ("field", &problem.field)] {
        if !text.is_empty() {
            set(&mut value, field, Value::from(text.as_str()));
        }
    }
    value
}

fn set(value: &mut Value, field: &str, to: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(field.to_owned(), to);
    }
}
