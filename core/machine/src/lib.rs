//! What every state machine here shares: declared states and edges, named guards, and the record of a decision.
//!
//! Operators and the node's pod machine are [statig](https://docs.rs/statig) machines, one concrete type each. This crate
//! holds what is the same for all of them and knows neither store nor clock.
//!
//! * A [`Chart`] is the table of states and edges declared beside a machine. Graphs, documentation and tests come from it.
//! * A [`Trace`] records what one step did: the edges it crossed and the guards it found unmet.
//! * An [`Observer`] is a machine but for its [`Behaviour`], and a [`Scene`] what it looks at.
//! * [`lasting()`] is for charts that are learnt at run time.
//! * A [`Decision`] is what is kept of a step that changed something: the material of `sampan why`.

mod chart;
mod decision;
mod lasting;
mod machine;
mod trace;

pub use chart::{ANY, Chart, ChartError, Edge, State, UNOBSERVED};
pub use decision::{CommandRecord, Decision, ReadRecord, WakeReason};
pub use lasting::lasting;
pub use machine::{Behaviour, Observe, Observed, Observer, Scene, crossed};
pub use trace::{Crossing, Trace, Unmet};

/// A machine as the drivers see it: copied for a step, asked for the name of its state.
///
/// A fresh machine is in the state [`UNOBSERVED`]; its first step classifies what is observed. Nothing of a machine is
/// ever stored: whatever must survive a restart lives in the object. Its chart and fresh ones come from its operator, so
/// that an operator may be learnt at run time.
pub trait Machine: Clone + Send + 'static {
    /// The name of the state the machine is in, as declared in the [`Chart`].
    fn state(&self) -> &'static str;
}
