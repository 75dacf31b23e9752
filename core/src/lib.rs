//! sampan-core: the framework Sampan is built on. No HTTP, no Docker, and outside the shells named so no thread and no clock.
//!
//! Data flows one way:
//!
//! ```text
//! manifests ─┐                                     ┌─► watchers
//! requests ──┼─► gateway ─► sequencer ─► backend   │
//! operators ─┘                              │      │
//!     ▲                                     ▼      │
//!     └── step ◄── queue ◄── wake router ◄── events┘
//! ```
//!
//! * [`access`]: who may do what.
//! * [`object`]: keys, metadata, encoded objects, selectors, patches.
//! * [`schema`]: the published shapes of the kinds.
//! * [`resource`]: what a resource type is, and the registry of them.
//! * [`store`]: sequencer, snapshots, watch, backends.
//! * [`gateway`]: the one way in.
//! * [`operator`]: the operator contract and what drives it.
//! * [`plugin`]: operators that are programs: what they declare, are asked and answer.
//! * [`manifest`]: the watched directory.
//! * [`replay`]: decisions made again, on what they were made on.
//! * [`ticker`]: what happens, told to whoever follows it.
//! * [`vital`]: threads a process cannot be without.
//! * [`why`]: where an object comes from, and what it waits for.

pub mod access;
pub mod cel;
pub mod entropy;
pub mod gateway;
pub mod manifest;
pub mod object;
pub mod operator;
pub mod plugin;
pub mod replay;
pub mod resource;
pub mod schema;
pub mod status;
pub mod store;
pub mod ticker;
pub mod vital;
pub mod why;

pub use jiff::Timestamp;
