//! The conformance kit: what is proved of every operator, as a library.
//!
//! An author names the operator, a few manifests of its primary, and who else acts in its worlds ([`Suite`]); laws and
//! worlds of its own come beside. The kit drives the shipping gateway, sequencer and driver, on a store in memory and on
//! virtual time:
//!
//! * **Small worlds** are explored to a fixpoint: every order of deeds, steps, restarts, crashes and conflicts.
//! * **Histories** are drawn by seed, with every [`Fault`], and a failure is made as short as it gets.
//!
//! What is checked on the way has a name each: [`Property`]. Most compare where worlds *end*: left alone, the operators come
//! to rest, those who help do what they do, timers run out. Whatever interfered, the end must be the same.
//!
//! A failure prints the shortest story found, the seed and the command that tells it again.

mod act;
pub mod actors;
pub mod beyond;
mod cluster;
mod digest;
mod dock;
mod done;
mod edit;
mod end;
mod explore;
mod history;
pub mod manifests;
mod mutant;
mod probe;
mod property;
mod read;
mod report;
pub mod simulation;
mod suite;
mod world;

pub use cluster::{Cluster, EPOCH, Moment, Moved};
pub use digest::{Alike, Incidental};
pub use explore::{Report, Thoroughness, explore};
pub use history::Fault;
pub use mutant::Mutant;
pub use property::{Property, Tally};
pub use read::read;
pub use report::{Failure, Outcome};
pub use suite::{Explores, Plan, Suite};
pub use world::{Actor, Deed, Deeds, Edit, Law, World};
