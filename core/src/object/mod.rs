//! Objects: what they are called, what is known of every one of them, and their one encoding.

mod field;
mod key;
mod label_selector;
mod metadata;
pub mod names;
pub mod patch;
mod quantity;
pub mod selector;
mod share;
mod stored;
mod typed;

pub use field::{FieldError, FieldErrorKind, FieldErrors, FieldPath};
pub use key::{Name, ObjectKey, ResourceType, Revision, Uid};
pub(crate) use key::{intern, intern_list};
pub use label_selector::UnknownOperator;
pub use metadata::{Metadata, OwnerReference};
pub use quantity::{Quantity, QuantityError};
pub use share::{SHARE, Share, written_share};
pub(crate) use stored::StoredObject;
pub use stored::{DecodeError, Draft, DraftError, Object};
pub(crate) use typed::Looks;
