//! Leases: signs of life, and locks of leader election.

use jiff::Timestamp;
use serde_json::Value;

use super::read::text;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::ResourceType;

/// The resource type.
pub const LEASES: ResourceType = ResourceType::new("coordination.k8s.io", "leases");

struct LeaseStrategy;

/// What a Lease is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("coordination.k8s.io", "v1", "io.k8s.api.coordination.v1.Lease");
    ResourceDefinition::plain(LEASES, "Lease", "lease", version, LeaseStrategy)
}

impl Strategy for LeaseStrategy {
    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Holder", "Who holds the lease."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/spec/holderIdentity").into(), table::age(object, now)]
    }
}
