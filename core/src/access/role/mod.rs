//! Roles and bindings: what they allow to whom.

mod aggregate;
mod cover;
mod index;
mod rule;

pub use aggregate::aggregated_rules;
pub use cover::{TooManyParts, covers, forbidden_grant, uncovered};
pub(super) use index::{Grant, RoleCache, RoleIndex};
pub use rule::PolicyRule;
