//! The operator contract, and what drives operators: wake router, queue, timers, steps, decisions.
//!
//! An operator is a state machine per object and one function, [`Operator::step`]: it reads one consistent snapshot and
//! issues commands, which commit together or not at all, and only if nothing that was read has changed.
//!
//! Nothing here does I/O or owns a thread: [`Driver`] is advanced by calls, and a thin shell outside calls it.

mod contract;

mod context;

pub use context::{Command, Context, EventKind};
pub use contract::{Declaration, Guarding, Kind, Mapping, Operator, Refused, Wake, Watch, WriteVerb, Writes};
