//! ConfigMaps: named values and files for pods.

use jiff::Timestamp;
use serde_json::Value;

use super::read::size;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::ResourceType;

/// The resource type.
pub const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");

struct ConfigMapStrategy;

/// What a ConfigMap is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ConfigMap");
    ResourceDefinition {
        short_names: &["cm"],
        ..ResourceDefinition::plain(CONFIG_MAPS, "ConfigMap", "configmap", version, ConfigMapStrategy)
    }
}

impl Strategy for ConfigMapStrategy {
    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Data", "The number of keys."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let keys = size(object, "/data") + size(object, "/binaryData");
        vec![keys.to_string().into(), table::age(object, now)]
    }
}
