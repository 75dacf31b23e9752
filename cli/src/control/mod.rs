//! How our own commands reach a running cluster: a socket in the data folder, one question and one answer of JSON each.
//!
//! Who may open the folder may ask: it is its owner's alone. What any Kubernetes client may ask goes through the API; this
//! is for what only Sampan knows, such as decisions.

mod client;
mod message;
mod server;

pub(crate) use client::{ask, is_running};
pub(crate) use message::{Answer, Question};
pub(crate) use server::serve;
