//! What changed, told from a revision on.

use std::sync::Arc;

use jiff::Timestamp;

use crate::object::{Name, Object, ObjectKey, ResourceType, Revision};

use super::{Origin, Reader};

/// One change of one object, as the log holds it: what it was before and what it became.
///
/// The previous object lets a watcher with a selector see an object enter (added) and leave (deleted), and lets the wake
/// router map both the old and the new value.
#[derive(Debug, Clone)]
pub struct Event {
    /// The revision of the change.
    pub revision: Revision,
    /// The object.
    pub key: ObjectKey,
    /// What happened.
    pub change: Change,
    /// Who did it.
    pub origin: Arc<Origin>,
    /// When, by the clock of the store; `None` in a log that an earlier version wrote.
    pub changed_at: Option<Timestamp>,
}

/// What happened to an object. Events read back from the log carry enough of `before` to select by: its metadata and
/// fields; its JSON is `{}`.
#[derive(Debug, Clone)]
pub enum Change {
    /// It was created.
    Added(Arc<Object>),
    /// It was changed.
    Modified {
        /// As it was.
        before: Arc<Object>,
        /// As it is.
        after: Arc<Object>,
    },
    /// It was removed; the object is as it was last, at the revision of its removal.
    Removed(Arc<Object>),
}

impl Change {
    /// The object after the change; of a removal, as it was last.
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Self::Added(object) | Self::Modified { after: object, .. } | Self::Removed(object) => object,
        }
    }
}

/// What a watcher wants to see. Selectors are applied above.
#[derive(Debug, Clone)]
pub struct WatchScope {
    /// The resource type.
    pub resource: ResourceType,
    /// One namespace, or all.
    pub namespace: Option<Name>,
    /// One object, or all.
    pub name: Option<Name>,
}

impl WatchScope {
    /// Every object of a resource type.
    pub fn all(resource: ResourceType) -> Self {
        Self { resource, namespace: None, name: None }
    }

    /// Whether changes of that object are seen.
    pub fn holds(&self, key: &ObjectKey) -> bool {
        key.resource == self.resource
            && (self.namespace.is_none() || key.namespace == self.namespace)
            && self.name.as_ref().is_none_or(|name| *name == key.name)
    }
}

/// Changes after a cursor, in order.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The changes; none when all up to `through` were of other objects.
    pub events: Vec<Arc<Event>>,
    /// The cursor to go on from: nothing between the cursor asked from and this one is missing from `events`.
    pub through: Revision,
}

/// Why no changes can be told.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The cursor lies below what the log still holds.
    #[error(transparent)]
    Compacted(#[from] Compacted),
    /// The log cannot be read.
    #[error("failed to read the log")]
    Log(#[from] super::BackendError),
}

/// The revision asked for lies below what the log still holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({floor})")]
pub struct Compacted {
    /// What was asked.
    pub asked: Revision,
    /// The oldest revision a watch can start from.
    pub floor: Revision,
}

/// What a watch has to tell at once.
#[derive(Debug)]
pub enum Told {
    /// These changes, at least one.
    Events(Vec<Arc<Event>>),
    /// Memory does not reach back to the cursor: [`Watch::poll`] reads the disk.
    Behind,
}

/// Follows the changes in a scope. It holds a cursor and no buffer: a slow watcher is never waited for, it reads on from
/// the log, until the log no longer reaches back to it.
#[derive(Clone)]
pub struct Watch {
    reader: Reader,
    scope: WatchScope,
    cursor: Revision,
}

impl Watch {
    pub(super) fn new(reader: Reader, scope: WatchScope, cursor: Revision) -> Self {
        Self { reader, scope, cursor }
    }

    /// Everything up to here has been told: what a bookmark says.
    pub fn cursor(&self) -> Revision {
        self.cursor
    }

    /// At most `limit` changes that have happened and were not told yet; none where there are none.
    ///
    /// # Errors
    /// When the log no longer reaches back to the cursor, or the disk fails.
    pub fn poll(&mut self, limit: usize) -> Result<Vec<Arc<Event>>, WatchError> {
        loop {
            let batch = self.reader.events_after(&self.scope, self.cursor, limit)?;
            let stood_still = batch.through == self.cursor;
            self.cursor = batch.through;
            if stood_still || !batch.events.is_empty() {
                return Ok(batch.events);
            }
        }
    }

    /// At most `limit` changes; waits until there is one. Changes of other resource types do not wake it. It never reads the
    /// disk: a watcher that lags behind what memory holds is told so, and polls where that may block.
    pub async fn next(&mut self, limit: usize) -> Told {
        loop {
            let changed = self.reader.listen(self.scope.resource);
            let Some(batch) = self.reader.recent_events_after(&self.scope, self.cursor, limit) else {
                return Told::Behind;
            };
            self.cursor = batch.through;
            if !batch.events.is_empty() {
                return Told::Events(batch.events);
            }
            changed.await;
        }
    }
}
