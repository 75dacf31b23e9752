//! Who may do what.
//!
//! Somebody ([`Identity`]) asks to do something ([`Attributes`]); an [`Authorizer`] says yes or gives no opinion, and what
//! nobody says yes to is refused. [`RoleAuthorizer`] is the one of a cluster: administrators, then nodes by what runs on
//! them, then roles and bindings. It is a function of one snapshot; what it derives from roles and bindings it keeps until
//! one of them changes.

mod attributes;
mod authorizer;
pub mod bootstrap;
pub mod bootstrap_token;
mod identity;
mod node;
mod role;
pub mod token;

pub use attributes::{Attributes, ResourceAttributes, What, forbidden};
pub use authorizer::{Authorizer, RoleAuthorizer, SystemAuthorizer, Verdict};
pub use identity::{ANONYMOUS, AUTHENTICATED, Identity, MASTERS, NODES, SIMULATED_NODES, UNAUTHENTICATED};
pub(crate) use node::MIRROR;
pub use node::{belongs, node_of, refers_to_anything};
pub use role::{PolicyRule, TooManyParts, aggregated_rules, covers, forbidden_grant, uncovered};
