//! The operator contract, and what drives operators: wake router, queue, timers, steps, decisions.
//!
//! An operator is a state machine per object and one function, [`Operator::step`]: it reads one consistent snapshot and
//! issues commands, which commit together or not at all, and only if nothing that was read has changed.
//!
//! Nothing here does I/O or owns a thread: [`Driver`] is advanced by calls, and a thin shell, [`Operators`], calls it.

mod assembly;
mod backoff;
mod command;
mod context;
mod contract;
mod declaration;
mod driver;
mod progress;
mod queue;
mod record;
mod recorder;
mod router;
mod seat;
mod standing;
mod thread;
mod timers;

pub use command::{Command, EventKind};
pub use context::{Context, Fault, Yield};
pub use contract::{Kind, Operator, Refused, Wake};
pub use declaration::{Declaration, Guarding, Mapping, Watch, WriteVerb, Writes};
pub use driver::Driver;
pub use progress::{Disabled, Figures, Progress, StepCommit, StepReport, Ticket};
pub use thread::Operators;
