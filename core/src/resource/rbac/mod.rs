//! Roles and bindings: who may do what. What they mean is in [`access`](crate::access).

mod binding;
mod role;

use super::ResourceDefinition;
use crate::object::ResourceType;

/// The API group of roles and bindings.
pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// The resource type of roles of the cluster.
pub const CLUSTER_ROLES: ResourceType = ResourceType::new(GROUP, "clusterroles");
/// The resource type of roles of a namespace.
pub const ROLES: ResourceType = ResourceType::new(GROUP, "roles");
/// The resource type of bindings everywhere.
pub const CLUSTER_ROLE_BINDINGS: ResourceType = ResourceType::new(GROUP, "clusterrolebindings");
/// The resource type of bindings in a namespace.
pub const ROLE_BINDINGS: ResourceType = ResourceType::new(GROUP, "rolebindings");

/// What roles and bindings are.
pub(super) fn definitions() -> [ResourceDefinition; 4] {
    [role::role(), role::cluster_role(), binding::role_binding(), binding::cluster_role_binding()]
}
