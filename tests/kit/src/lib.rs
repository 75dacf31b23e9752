//! Conformance suites for operators, as a library.
//!
//! An author describes a small [`World`]: the objects it starts with, who else acts in it (pods become ready, a user edits
//! the spec), and its laws. [`explore()`] then drives the shipping gateway, sequencer and driver, on a store in memory and on
//! virtual time, through **every** order of deeds, steps, restarts, crashes and conflicts, to a fixpoint:
//!
//! * every law holds at every revision, and those of rest wherever nothing is left to do;
//! * from every reached state the operators come to rest without further deeds: no hot loop;
//! * at rest, a driver that starts afresh writes nothing and its machines are in the very states they had;
//! * every transition taken is declared; [`Report::uncrossed`] names those that are declared and were never taken.
//!
//! A failure prints the shortest trace that leads to it.

mod cluster;
mod digest;
mod explore;
pub mod simulation;
mod world;

pub use cluster::{Cluster, EPOCH, Moved};
pub use explore::{Failure, Report, explore};
pub use world::{Actor, Deed, Edit, Law, World};
