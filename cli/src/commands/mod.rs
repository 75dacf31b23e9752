//! The commands, one file each. What they print goes to standard output, what went wrong to standard error.

pub(crate) mod confine;
pub(crate) mod conformance;
pub(crate) mod down;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod kubeconfig;
pub(crate) mod logs;
pub(crate) mod operator;
mod operator_run;
pub(crate) mod plan;
pub(crate) mod prune;
pub(crate) mod replay;
mod rust_operator;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod version;
pub(crate) mod why;
mod words;
