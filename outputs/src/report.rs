//! What an output tells of itself.

use jiff::Timestamp;

/// How an output is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// What is there is sent.
    #[default]
    Delivering,
    /// The last attempt failed; it is tried on.
    Retrying,
}

/// What an output tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How it is.
    pub state: State,
    /// Lines that were acknowledged.
    pub delivered: u64,
    /// Lines that were not yet.
    pub waiting: u64,
    /// Lines that were gone before they were sent.
    pub dropped: u64,
    /// What went wrong last, until something is delivered.
    pub last_error: Option<String>,
    /// When something was acknowledged last.
    pub last_delivery: Option<Timestamp>,
}
