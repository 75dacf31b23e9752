//! What the sequencer is asked, and what it answers.

use std::sync::Arc;

use sampan_machine::Decision;
use serde::{Deserialize, Serialize};

use super::{CommitCondition, IndexKey, Unmet};
use crate::object::{Draft, Name, Object, ObjectKey, ResourceType, Revision, Uid};

/// The most changes one request may hold: what an operator may command in one step.
pub const CHANGES_MAX: usize = 500;

/// A request to the sequencer: all of it happens, at one place in the history, or none of it.
#[derive(Debug)]
pub struct Write {
    /// Who wants it, kept with every change.
    pub origin: Origin,
    /// The changes, in order; each becomes a revision of its own.
    pub changes: Vec<Change>,
    /// What it was decided on: refused if any of that has changed since.
    pub guard: Option<Guard>,
    /// The decision that led here, written in the same batch. It takes no revision.
    pub decision: Option<Decision>,
}

/// A change of one object.
#[derive(Debug)]
pub struct Change {
    /// The object.
    pub key: ObjectKey,
    /// What must hold of it.
    pub precondition: Precondition,
    /// What becomes of it.
    pub put: Put,
    /// What must hold of the rest of the cluster.
    pub conditions: Vec<CommitCondition>,
}

/// What becomes of an object.
#[derive(Debug)]
pub enum Put {
    /// It is created or replaced.
    Object(Box<Draft>),
    /// It is removed.
    Nothing,
}

/// What must hold of an object for a change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// It does not exist.
    Absent,
    /// It is still at this revision.
    Unchanged(Revision),
    /// It exists and is still this one.
    Identity(Uid),
}

/// The reads a request rests on.
#[derive(Debug, Clone)]
pub struct Guard {
    /// The revision of the snapshot that was read.
    pub at: Revision,
    /// Everything that was read.
    pub reads: Vec<ReadKey>,
}

/// Something that can be read, and whose change can refuse a guarded request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReadKey {
    /// One object, present or absent.
    Object(ObjectKey),
    /// All objects of a resource type, in one namespace or everywhere.
    Collection(ResourceType, Option<Name>),
    /// All objects under an index key.
    Index(IndexKey),
    /// Which objects are under an index key and not being deleted, whatever else they look like: it changes when one
    /// enters, leaves or begins to be deleted.
    Members(IndexKey),
    /// Where the objects under an index key stand: it changes when one of them is given its place, by
    /// [`PLACE`](super::PLACE). That one leaves its place is no change: it could as well have left later.
    Placed(IndexKey),
    /// What the objects of a resource type take together of something ([`Snapshot::sums`](super::Snapshot::sums)): it changes
    /// when one of them takes more. That one takes less is no change: it could as well have done so later.
    Taken(ResourceType, Name),
}

impl ReadKey {
    /// The same by membership alone, where that can be told apart.
    pub fn by_membership(self) -> Self {
        match self {
            Self::Index(key) => Self::Members(key),
            other => other,
        }
    }
}

/// Where a change comes from. It is kept with the change and answers `sampan why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "by")]
pub enum Origin {
    /// A document of a manifest file.
    Manifest {
        /// The file, relative to the directory.
        file: String,
        /// The line the document starts at.
        line: u32,
    },
    /// A client's request.
    Request {
        /// The authenticated user.
        user: String,
        /// The user agent.
        client: String,
        /// The verb.
        verb: String,
    },
    /// A client's word on how an object stands, as operators tell it that are no part of the cluster: a write of its status.
    Report {
        /// The authenticated user.
        user: String,
        /// The user agent.
        client: String,
    },
    /// An operator's decision about an object, found under that object's decisions.
    Decision {
        /// The operator.
        operator: String,
        /// The object decided on.
        object: String,
        /// The snapshot it was decided on.
        snapshot: u64,
    },
    /// A node's report.
    Node {
        /// The node.
        name: String,
    },
    /// Sampan itself, such as the objects every cluster starts with and the expiry of events.
    System {
        /// What for.
        purpose: String,
    },
}

impl Origin {
    /// Whether somebody wished for it who is no part of the cluster.
    pub fn is_from_outside(&self) -> bool {
        matches!(self, Self::Manifest { .. } | Self::Request { .. })
    }
}

/// An acknowledged request: durable, and in every later snapshot.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The revision of the last change; of head where there was none.
    pub revision: Revision,
    /// The object each change left: as put, or as it was before it was removed.
    pub objects: Vec<Arc<Object>>,
}

/// Why a request was not committed. Nothing of it happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The object exists already.
    #[error("{0} already exists")]
    Exists(ObjectKey),
    /// The object does not exist, or no longer.
    #[error("{0} not found")]
    Missing(ObjectKey),
    /// The object has changed, or is another of the same name.
    #[error("{key} is at revision {found}, not as expected")]
    Changed {
        /// The object.
        key: ObjectKey,
        /// The revision it is at.
        found: Revision,
    },
    /// What the request rests on has changed.
    #[error("{read:?} changed at revision {changed_at}")]
    Guard {
        /// The read that no longer holds.
        read: Box<ReadKey>,
        /// When it changed; the oldest revision remembered where that is no longer known.
        changed_at: Revision,
    },
    /// A condition of one of its changes does not hold.
    #[error("change {change}: {unmet}")]
    Unmet {
        /// Which change of the request, from 0.
        change: usize,
        /// What does not hold.
        unmet: Unmet,
    },
    /// More changes than one request may hold.
    #[error("{found} changes in one request, at most {CHANGES_MAX}")]
    TooManyChanges {
        /// How many there were.
        found: usize,
    },
    /// Too many requests wait already. Nothing was done; later it may be.
    #[error("too many writes wait already")]
    Overloaded,
    /// The store takes no writes: the disk is full, or failed.
    #[error("the store takes no writes: {0}")]
    Unavailable(String),
}
