//! Operators that are programs: this crate runs them. What they declare, are asked and answer is the core's
//! [`plugin`](sampan_core::plugin).
//!
//! | module | what is in it |
//! | --- | --- |
//! | `host` | from OperatorPlugins in the store to programs that run, and back to their status |
//! | `source` | a program's files, and when they have changed |
//! | `folder` | the private folder a program runs in |
//! | `running` | the processes of one plugin |
//! | `supervisor` | one program: started, asked, given up on, started again |
//! | `process` | one process of it: its three pipes, its end |
//! | `hearing` | what is heard of it: answers, and the log |
//! | `lines` | lines of bounded length |
//! | `group` | the control group that bounds their processor time |
//! | `confine` | what a program may take of the machine, put on from within |
//! | `launch` | what it takes to start a program |
//! | `errand` | what a program is sent to do, and what its lines say of that |
//! | `asking` | how steps ask a supervisor in the daemon: by suspension |
//! | `proof` | a program under proof: steps wait for it |
//! | `health` | how a program is, as conditions |
//! | `removal` | what becomes of a removed plugin's objects |

mod asking;
mod confine;
mod errand;
mod folder;
mod group;
mod health;
mod hearing;
mod host;
mod launch;
mod lines;
mod process;
mod proof;
mod removal;
mod running;
mod source;
mod supervisor;

pub use confine::{Bounds, ConfineError, confine};
pub use folder::remove_folders;
pub use host::{Host, Surroundings};
pub use proof::{Given, Proof, ProofError};
pub use source::SourceError;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail where it stands")]
mod tests;
