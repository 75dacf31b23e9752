//! Lines on their way out: which are sent, from where on, joined to records, with the fields that are read from them.
//!
//! ```text
//! Store ──survey──► Passage ──take──► Joiner ──► Chunk ──(sent, acknowledged)──► Cursor on disk
//!   ▲                                                                              │
//!   └──────────────────────────── where to read on ◄───────────────────────────────┘
//! ```
//!
//! There is no second copy of what waits: an output is a place in what is kept. What the limits take away before it was sent is
//! counted as dropped.

mod cursor;
mod join;
mod outlet;
mod parser;
mod record;
mod selection;

pub use cursor::{Cursor, CursorError};
pub use join::{Joined, Multiline};
pub use outlet::{Chunk, Outlet, Plan};
pub use parser::{Parser, PatternError};
pub use record::{Record, Shape};
pub use selection::Selection;
