//! A pod on a node: what is desired, what the runtime shows, what to do next, what to tell the API server.
//!
//! Nothing in here does I/O, reads a clock or owns a thread. A [`Scene`] is looked at, [`standing`] says how each container
//! stands, [`plan`] what to do, [`status`] what to report, and [`machine`] names the state a user would.

pub mod backoff;
pub mod claim;
pub mod command;
pub mod environment;
pub mod machine;
pub mod moment;
pub mod plan;
pub mod probe;
pub mod quantity;
pub mod rejection;
pub mod resize;
pub mod situation;
pub mod source;
pub mod spec;
pub mod standing;
pub mod status;
pub mod told;
pub mod volume;

pub use command::{Command, ContainerSpec, EventNote, Hook, Operation, Outcome, Refusal, SandboxSpec};
pub use situation::{ContainerRecord, Exit, NodeFacts, RunState, Sandbox, Scene, Situation, Uid};
