//! What a namespace may use in all, and what one pod or claim may.

mod limit_range;
mod resource_quota;

use super::ResourceDefinition;
use super::check::{Faults, Field};
use crate::object::names;

pub use limit_range::LIMIT_RANGES;
pub use resource_quota::RESOURCE_QUOTAS;

/// Resources Kubernetes knows by a name without a domain.
const STANDARD_RESOURCES: [&str; 22] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
    "count",
    "volumes",
];

/// Quotas and limits.
pub(super) fn definitions() -> [ResourceDefinition; 2] {
    [limit_range::definition(), resource_quota::definition()]
}

/// A resource: one that Kubernetes knows, or a name with a domain.
fn resource_name(name: &str) -> Vec<String> {
    let broken = names::qualified_name(name);
    if !broken.is_empty() || name.contains('/') || is_huge_pages(name) || STANDARD_RESOURCES.contains(&name) {
        return broken;
    }
    vec!["must be a standard resource type or fully qualified".to_owned()]
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// An amount that is not negative.
fn nonnegative_amount(amount: &Field<'_>, faults: &mut Faults) {
    if amount.quantity().is_some_and(|quantity| quantity.is_negative()) {
        faults.invalid(amount, "must be greater than or equal to 0");
    }
}
