//! The store as a whole, in memory.

mod conditions;
mod crash;
mod indexing;
mod model;
mod past;
mod requests;
mod shell;
mod watching;
