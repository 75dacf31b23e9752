//! What containers wrote: read from Docker's files, kept in compressed segments, searched.
//!
//! ```text
//! Docker's files ──Tail──► lines ──Store──► blocks in segments ──Search──► lines
//!      ▲                                          │
//!      └───────────── Position ◄──────────────────┘
//! ```
//!
//! # Guarantees
//! Every line a container wrote is kept once and in order. A block of lines and the position in Docker's files behind it are one
//! record on disk, so whoever is killed between them reads on exactly where the last whole block ends. What could not be read,
//! and what limits took away, is counted.
//!
//! Nothing here owns a thread or reads a clock: whoever collects advances it by calls.

mod block;
mod docker;
mod limits;
mod line;
mod matcher;
pub mod output;
mod passage;
mod query;
mod run;
mod search;
mod segment;
mod store;
mod tail;

pub use limits::{Counts, Limits};
pub use line::{Line, LineRef, Lines, Stream};
pub use passage::Passage;
pub use query::{LabelOperator, Query, QueryError, Requirement};
pub use run::Run;
pub use search::{Found, Search};
pub use store::{Store, StoreError};
pub use tail::{Batch, Position, Tail};
