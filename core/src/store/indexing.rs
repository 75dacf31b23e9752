//! What objects are found by is written beside them, so that a store opens without reading their JSON. It was written as the
//! binary of then read it; one that reads it otherwise reads it again, once.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::backend::{Archive, Backend, BackendError, Group, Keyspace, Row};
use crate::object::{Name, Object, ResourceType};

/// Where the store says which way what is in it was read.
const INDEXING_KEY: &[u8] = b"indexing";
/// How many objects are written again at once.
const REWRITTEN_AT_ONCE: usize = 512;

/// The fields and the share an object is found and counted by.
pub type IndexValues = Vec<(&'static str, String)>;
/// Reads them from an object's JSON; `None` leaves those of a resource type as they are.
pub type ReadIndexValues = Arc<dyn Fn(ResourceType, &Value) -> Option<IndexValues> + Send + Sync>;

/// A way to read what objects are found by.
#[derive(Clone)]
pub struct Indexing {
    digest: Name,
    read: ReadIndexValues,
}

impl Indexing {
    /// Of two ways that differ, the digests do.
    pub fn new(digest: &str, read: ReadIndexValues) -> Self {
        Self { digest: digest.into(), read }
    }

    /// Whether the store was written in another way.
    pub(super) fn is_news_to(&self, archive: &dyn Archive) -> Result<bool, BackendError> {
        Ok(archive.get(Keyspace::Meta, INDEXING_KEY)?.as_deref() != Some(self.digest.as_bytes()))
    }

    /// The object as this way finds it, where that is not how it was written.
    pub(super) fn corrected(&self, object: &Object) -> Option<Object> {
        let values = (self.read)(object.key().resource, &object.value())?;
        (values != object.fields()).then(|| object.found_by(values))
    }

    /// Writes the rows of objects that were corrected, and then that all are as this way reads them: who is killed between begins
    /// again.
    pub(super) fn write(&self, backend: &mut impl Backend, corrected: Vec<Row>) -> Result<(), BackendError> {
        if !corrected.is_empty() {
            tracing::info!("{} objects are found otherwise by this version, and were written again", corrected.len());
        }
        let done =
            Row { keyspace: Keyspace::Meta, key: INDEXING_KEY.into(), value: Some(self.digest.as_bytes().into()) };
        let mut rows = corrected.into_iter().chain([done]).peekable();
        while rows.peek().is_some() {
            let rows = rows.by_ref().take(REWRITTEN_AT_ONCE).collect();
            backend.append(Group { rows, acknowledged: None, has_changes: true })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Indexing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Indexing({})", self.digest)
    }
}
