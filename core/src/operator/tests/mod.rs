//! Operators that do what a test says, driven by the loop that ships.

mod driving;
mod effects;
mod faults;
mod fixture;
mod listening;
mod plugin;
mod questions;
mod reading;
mod replaying;
mod shell;
