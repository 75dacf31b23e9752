//! The kinds of `apps/v1` that have no crate of their own yet.

mod controller_revision;
mod daemon_set;
mod stateful_set;

use super::ResourceDefinition;

pub use controller_revision::CONTROLLER_REVISIONS;
pub use daemon_set::DAEMON_SETS;
pub use stateful_set::STATEFUL_SETS;

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 3] {
    [controller_revision::definition(), daemon_set::definition(), stateful_set::definition()]
}
