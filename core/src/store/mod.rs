//! The store: an embedded state machine. One sequencer owns all writes; everybody reads snapshots.

mod snapshot;
mod watch;
mod write;

pub use snapshot::{IndexKey, Snapshot};
pub use watch::{Change as WatchChange, Compacted, Event, WatchScope};
pub use write::{
    CHANGES_MAX, Change, Commit, CommitCondition, Guard, Origin, Precondition, Put, ReadKey, Refusal, Write,
};
