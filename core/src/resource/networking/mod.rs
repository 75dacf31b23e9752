//! The kinds of `networking.k8s.io/v1`.

mod ingress;
mod ingress_class;
mod ip_address;
mod network_policy;
mod service_cidr;

use super::ResourceDefinition;

pub use ingress::INGRESSES;
pub use ingress_class::INGRESS_CLASSES;
pub use ip_address::IP_ADDRESSES;
pub use network_policy::NETWORK_POLICIES;
pub use service_cidr::{DEFAULT_SERVICE_CIDR, SERVICE_CIDRS};

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 5] {
    [
        ingress::definition(),
        ingress_class::definition(),
        ip_address::definition(),
        network_policy::definition(),
        service_cidr::definition(),
    ]
}
