//! The store: an embedded state machine. One sequencer owns all writes; everybody reads snapshots.
//!
//! * [`Sequencer`] puts [`Write`]s in order, checks them, and makes them durable in groups. It is a plain struct.
//! * [`Store`] is the thin shell around it: one thread, and a handle for everybody.
//! * [`Reader`] is everything that can be read: [`Snapshot`]s, [`Watch`]es, decisions.
//! * [`backend`] is where the history is made durable.

pub mod backend;
mod check;
mod codec;
mod condition;
mod decisions;
mod expiry;
mod feed;
#[cfg(test)]
mod fixture;
mod group;
mod index;
mod indexing;
mod log_window;
mod past;
mod reader;
mod recovery;
mod reservation;
mod sequencer;
mod snapshot;
mod sums;
mod thread;
mod touched;
mod watch;
mod write;

pub use backend::{Backend, BackendError, Crash, FjallBackend, MemoryBackend, MemoryDisk};
pub use codec::Damage;
pub use condition::{CommitCondition, Counter, Excess, Measure, Unmet};
pub use decisions::{DECISIONS_MAX, DECISIONS_PER_OBJECT};
pub use event_listener::{EventListener, Listener};
pub use expiry::TimesToLive;
pub use feed::Callback;
pub use index::{IndexKey, PLACE};
pub use indexing::{IndexValues, Indexing, ReadIndexValues};
pub use log_window::{LOG_CHANGES_MAX, LOG_KEPT};
pub use past::Rewind;
pub use reader::{Metrics, Reader};
pub use recovery::OpenError;
pub use reservation::{RESERVATION_MAX, ReservationId};
pub use sequencer::{Answer, Sequencer, Settings, Ticket};
pub use snapshot::{Collection, Origins, Snapshot};
pub use sums::Sums;
pub use thread::{Clock, Store};
pub use watch::{Batch, Change as WatchChange, Compacted, Event, Told, Watch, WatchError, WatchScope};
pub use write::{CHANGES_MAX, Change, Commit, Guard, Origin, Precondition, Put, ReadKey, Refusal, Write};

#[cfg(test)]
mod tests;
