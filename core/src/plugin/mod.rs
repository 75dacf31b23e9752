//! Operators that are programs: what an [`OperatorPlugin`](crate::resource::OPERATOR_PLUGINS) declares, what its program is
//! asked, and what becomes of its answers.
//!
//! A plugin keeps the contract of every operator. A step reads a snapshot through the [`Context`](crate::operator::Context),
//! which records and guards what it read; makes a [`Question`] of it; and turns the [`Answer`] into commands. Whoever answers
//! is a [`Program`]: the daemon's runs a process beside the operators and has the step suspended until its answer is there;
//! the conformance kit's waits for it.
//!
//! An answer is taken for exactly what was asked. Where the snapshot of the resumed step shows anything else, the question is
//! put anew, so that a slow program decides on nothing stale; and what the step read guards its commit as always.
//!
//! Effects it declares are effects like any operator's, and run by the program: it is asked to, and tells what came of it.
//!
//! Nothing here runs a process, reads a file or knows the time.

mod answer;
mod charter;
mod effect;
mod operator;
mod question;
mod spec;
mod word;

pub use answer::{Answer, Reference, finalizer_of};
pub use charter::{Charter, CharterError};
pub use effect::{EffectReport, effect_line};
pub use operator::{Failure, PluginMachine, PluginOperator, Program};
pub use question::{PROTOCOL, Question};
pub use spec::{EffectSpec, KindName, Limits, PluginSpec, Removal};
pub use word::Word;
