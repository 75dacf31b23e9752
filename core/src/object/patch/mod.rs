//! The ways to change some fields of an object.
//!
//! * [`JsonPatch`] (RFC 6902) and [`merge`] (RFC 7386) know nothing of kinds.
//! * [`strategic_merge`] is Kubernetes' merge patch: lists of objects merge by a key the schema names.
//!
//! None checks the outcome: [`conform`](crate::schema::conform) does, and drops what the schema does not know.

mod json;
mod strategic;

pub use json::{JsonPatch, JsonPatchError, merge};
pub use strategic::{StrategicError, strategic_merge};
