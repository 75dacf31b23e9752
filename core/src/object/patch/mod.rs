//! The ways to change some fields of an object.
//!
//! * [`JsonPatch`] (RFC 6902) and [`merge`] (RFC 7386) know nothing of kinds.
//! * [`strategic_merge`] is Kubernetes' merge patch: lists of objects merge by a key the schema names.
//! * [`apply()`] is server-side apply: each field has the managers that set it. [`track_update`] keeps that record for every
//!   other kind of write. [`merge_configuration`] merges as apply does, for those who come to own nothing.
//!
//! None checks the outcome: [`conform`](crate::schema::conform) does, and drops what the schema does not know.

mod apply;
mod json;
mod strategic;

pub use apply::{ApplyError, Conflict, Conflicts, Manager, MergeError, apply, merge_configuration, track_update};
pub use json::{JsonPatch, JsonPatchError, merge};
pub use strategic::{StrategicError, strategic_merge};
