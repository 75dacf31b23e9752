//! The kinds of `networking.k8s.io/v1`.

mod ingress;
mod ingress_class;
mod network_policy;

use super::ResourceDefinition;

pub use ingress::INGRESSES;
pub use ingress_class::INGRESS_CLASSES;
pub use network_policy::NETWORK_POLICIES;

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 3] {
    [ingress::definition(), ingress_class::definition(), network_policy::definition()]
}
