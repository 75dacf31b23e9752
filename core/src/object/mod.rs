//! Objects: what they are called, what is known of every one of them, and their one encoding.

mod key;
mod metadata;
mod stored;

pub use key::{Name, ObjectKey, ResourceType, Revision, Uid};
pub use metadata::{Metadata, OwnerReference};
pub use stored::{DecodeError, Draft, DraftError, Object};
