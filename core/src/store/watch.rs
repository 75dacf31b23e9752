//! What changed, told from a revision on.

use std::sync::Arc;

use crate::object::{Name, Object, ObjectKey, ResourceType, Revision};

use super::Origin;

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
}

/// What happened to an object. Events read back from the log carry enough of `before` to select by: its metadata and fields.
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

/// The revision asked for lies below what the log still holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({floor})")]
pub struct Compacted {
    /// What was asked.
    pub asked: Revision,
    /// The oldest revision a watch can start from.
    pub floor: Revision,
}
