//! One file as it was last read.

use std::sync::Arc;

use super::document::{self, Document, Identity};
use super::names;
use super::problem::Problem;
use super::setting::Drift;

/// What was found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The same as when it was read last, by its size and times.
    Same,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Something that cannot be read, and why.
    Unreadable(String),
}

/// One file: its last good version, and what is wrong with the present one.
#[derive(Debug, Default)]
pub(super) struct File {
    /// The last text that parsed. It stays when the file breaks, and goes with the file.
    pub(super) text: Option<Arc<str>>,
    /// What the last good text holds.
    pub(super) documents: Vec<Summary>,
    /// Why the present version is not used.
    pub(super) problem: Option<Problem>,
    /// Whether a scan found the file gone.
    pub(super) gone: bool,
}

/// A document without its content, which is read again from the text when it is applied.
#[derive(Debug, Clone)]
pub(super) struct Summary {
    pub(super) identity: Identity,
    pub(super) line: u32,
    pub(super) hash: u64,
    pub(super) drift: Drift,
}

impl File {
    /// Takes what was found. Whether anything about the file changed.
    pub(super) fn observe(&mut self, path: &str, observation: &Observation) -> bool {
        match observation {
            Observation::Same => false,
            Observation::Unreadable(reason) => {
                self.gone = false;
                let message = format!("failed to read the file: {reason}");
                self.fails(Problem::new(super::Position::START, message))
            }
            Observation::Bytes(bytes) => self.read(path, bytes),
        }
    }

    fn read(&mut self, path: &str, bytes: &[u8]) -> bool {
        self.gone = false;
        let text = match document::text(bytes) {
            Ok(text) => text,
            Err(problem) => return self.fails(problem),
        };
        if self.problem.is_none() && self.text.as_deref() == Some(text) {
            return false;
        }
        match document::documents(text, names::is_json(path)) {
            Ok(documents) => {
                self.documents = documents.iter().map(Summary::of).collect();
                self.text = Some(text.into());
                self.problem = None;
                true
            }
            Err(problem) => self.fails(problem),
        }
    }

    fn fails(&mut self, problem: Problem) -> bool {
        let changed = self.problem.as_ref() != Some(&problem);
        self.problem = Some(problem);
        changed
    }

    /// The file is no longer there.
    pub(super) fn vanish(&mut self) {
        *self = Self { gone: true, ..Self::default() };
    }

    /// The documents of the last good text, read again.
    pub(super) fn read_again(&self, path: &str) -> Vec<Document> {
        let text = self.text.as_deref().unwrap_or_default();
        document::documents(text, names::is_json(path)).unwrap_or_default()
    }

    /// The hash of the last good text.
    pub(super) fn content_hash(&self) -> Option<String> {
        self.text.as_deref().map(|text| format!("{:016x}", names::hash(text.as_bytes())))
    }
}

impl Summary {
    fn of(document: &Document) -> Self {
        let hash = names::hash(document.value.to_string().as_bytes());
        Self { identity: document.identity.clone(), line: document.line(), hash, drift: document.drift }
    }
}
