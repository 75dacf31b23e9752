//! Where the history is made durable. Everything above speaks to this small boundary, so that it stays as it is when the
//! backend is another.

mod fjall;
mod memory;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::object::Revision;

pub use self::fjall::FjallBackend;
pub use memory::{Crash, MemoryBackend, MemoryDisk};

/// The parts of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keyspace {
    /// Object key → its latest state.
    Objects,
    /// Revision, big-endian → the change. Written once, trimmed from below.
    Log,
    /// Object key and number → a decision.
    Decisions,
    /// What is known of the store as a whole.
    Meta,
}

/// A row to be written, or removed where there is no value.
#[derive(Debug, Clone)]
pub struct Row {
    /// Where.
    pub keyspace: Keyspace,
    /// Under which key.
    pub key: Vec<u8>,
    /// The value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// What is written at once.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The rows; no key twice.
    pub rows: Vec<Row>,
    /// The last revision acknowledged before this group, where it is to be noted apart from the rows.
    pub acknowledged: Option<Revision>,
    /// Whether the group holds changes. One of decisions alone acknowledges nothing and may become durable with the next.
    pub has_changes: bool,
}

/// Why the backend failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb}: {reason}")]
pub struct BackendError {
    /// What was tried, such as `write a group`.
    pub verb: &'static str,
    /// What came of it.
    pub reason: String,
}

/// Makes groups durable, in order.
pub trait Backend: Send + 'static {
    /// The highest revision known to have been acknowledged, from a place apart from the rows. What is recovered must
    /// reach it.
    fn acknowledged(&self) -> Revision;

    /// Writes all rows of the group, or none. A group with changes is durable on return.
    ///
    /// # Errors
    /// When it cannot be written. Whether it was is then unknown until the backend is opened again.
    fn append(&mut self, group: Group) -> Result<(), BackendError>;

    /// Lets go of log rows up to and with `floor`. Called once the floor itself is durable.
    fn trim(&mut self, floor: Revision);

    /// Notes that nothing after `acknowledged` is under way.
    ///
    /// # Errors
    /// When that cannot be noted; nothing is lost by it.
    fn settle(&mut self, acknowledged: Revision) -> Result<(), BackendError>;

    /// Reads rows beside the writer.
    fn archive(&self) -> Arc<dyn Archive>;

    /// How often the backend has waited for the disk.
    fn syncs(&self) -> u64;
}

/// What is done with a row; `Break` ends the scan.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Reads rows, beside the writer and from any thread.
pub trait Archive: Send + Sync {
    /// The value of a row.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError>;

    /// Visits the rows with keys in `from..to`, in order.
    fn scan(&self, keyspace: Keyspace, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), BackendError>;
}
