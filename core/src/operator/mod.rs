//! The operator contract, and what drives operators: wake router, queue, timers, steps, decisions.
//!
//! An operator is a state machine per object and one function, [`Operator::step`]: it reads one consistent snapshot and
//! issues commands, which commit together or not at all, and only if nothing that was read has changed.
//!
//! Nothing here does I/O or owns a thread: [`Driver`] is advanced by calls. [`Loop`] makes them, over a [`Host`]: the thin
//! shell [`Operators`] in the daemon, the conformance kit and simulations in their worlds.

mod assembly;
mod backoff;
mod command;
mod context;
mod contract;
mod declaration;
mod driver;
pub(crate) mod effect;
mod errands;
mod flight;
mod main_loop;
mod outbox;
mod progress;
mod questions;
mod queue;
mod record;
mod recorder;
mod rehearsal;
mod router;
mod seat;
mod settling;
mod showing;
mod standing;
mod stepping;
mod thread;
mod timers;
mod view;
mod words;

pub use command::{Command, EventKind};
pub use context::{Context, Fault, Yield};
pub use contract::{Kind, Operator, Refused, Wake};
pub use declaration::{Concern, Declaration, Effect, Guarding, Heeds, MapFunction, Mapping, Watch, WriteVerb, Writes};
pub use driver::{Driver, FLIGHTS_MAX};
pub use effect::{EffectFunction, EffectRequest, EffectRun, EffectState, Telling, UNFINISHED_EFFECT};
pub use errands::EFFECTS_PER_OPERATOR_MAX;
pub use main_loop::{Host, Loop, Turn};
pub(crate) use progress::RUNS;
pub use progress::{Disabled, Figures, Progress, StepCommit, StepQuestions, StepReport, Ticket};
pub use rehearsal::Rehearsed;
pub use thread::{Crew, Operators};
pub use view::{Shown, View};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]
mod tests;
