//! ServiceAccounts: who pods are.

use jiff::Timestamp;
use serde_json::Value;

use super::read::size;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::ResourceType;

/// The resource type.
pub const SERVICE_ACCOUNTS: ResourceType = ResourceType::new("", "serviceaccounts");

struct ServiceAccountStrategy;

/// What a ServiceAccount is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ServiceAccount");
    ResourceDefinition {
        short_names: &["sa"],
        ..ResourceDefinition::plain(
            SERVICE_ACCOUNTS,
            "ServiceAccount",
            "serviceaccount",
            version,
            ServiceAccountStrategy,
        )
    }
}

impl Strategy for ServiceAccountStrategy {
    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Secrets", "The number of secrets its pods may use."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![size(object, "/secrets").to_string().into(), table::age(object, now)]
    }
}
