//! CSIStorageCapacities: how much room a driver has for volumes of a class on some nodes.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::{ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::label_selector::validate_label_selector;
use crate::resource::read::text;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
const CSI_STORAGE_CAPACITIES: ResourceType = ResourceType::new("storage.k8s.io", "csistoragecapacities");

struct CapacityStrategy;

/// What a CSIStorageCapacity is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("storage.k8s.io", "v1", "io.k8s.api.storage.v1.CSIStorageCapacity");
    ResourceDefinition::plain(
        CSI_STORAGE_CAPACITIES,
        "CSIStorageCapacity",
        "csistoragecapacity",
        version,
        CapacityStrategy,
    )
}

impl Strategy for CapacityStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let capacity = Field::root(object);
        faults.required_rule(&capacity.at("storageClassName"), names::dns_1123_subdomain);
        for amount in capacity.which(["capacity", "maximumVolumeSize"]) {
            if amount.quantity().is_some_and(|amount| amount.value() < 0) {
                faults.invalid(&amount, "must be greater than or equal to 0");
            }
        }
        validate_label_selector(&capacity.at("nodeTopology"), &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for field in ["nodeTopology", "storageClassName"] {
            faults.immutable(&Field::root(object).at(field), &Field::root(old).at(field));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name."),
            Column::text("StorageClassName", "The class of the volumes."),
            Column::text("Capacity", "How much room there is."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let shown = |pointer| text(object, pointer).into();
        vec![shown("/metadata/name"), shown("/storageClassName"), shown("/capacity"), age(object, now)]
    }
}
