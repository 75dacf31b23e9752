//! Resource types that are asked: a create is answered, and nothing is kept.

use jiff::Timestamp;
use serde_json::Value;

use crate::access::token::Tokens;
use crate::access::{Authorizer, Identity};
use crate::entropy::Entropy;
use crate::object::Object;
use crate::status::Status;
use crate::store::Snapshot;

/// What is answered to a create, without anything being kept.
pub trait Question: Send + Sync {
    /// Writes the answer into the object that asks. At a part of an object, `of` is the object.
    ///
    /// # Errors
    /// Where the question is at fault.
    fn answer(&self, asked: &mut Value, of: Option<&Object>, cx: &mut AnswerContext<'_>) -> Result<(), Status>;
}

/// What an answer may be drawn from.
pub struct AnswerContext<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// In which namespace.
    pub namespace: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
    /// The cluster as read.
    pub snapshot: &'a Snapshot,
    /// Decides who may do what.
    pub authorizer: &'a dyn Authorizer,
    /// Gives tokens; `None` where there are none to be had.
    pub tokens: Option<&'a Tokens>,
    /// Randomness.
    pub entropy: &'a mut dyn Entropy,
}
