//! VolumeAttributesClasses: what of a volume may be changed while it is there.

use jiff::Timestamp;
use serde_json::Value;

use super::validate_driver_name;
use crate::object::ResourceType;
use crate::resource::check::{Faults, Field};
use crate::resource::read::text;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
const VOLUME_ATTRIBUTES_CLASSES: ResourceType = ResourceType::new("storage.k8s.io", "volumeattributesclasses");

struct ClassStrategy;

/// What a VolumeAttributesClass is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("storage.k8s.io", "v1", "io.k8s.api.storage.v1.VolumeAttributesClass");
    ResourceDefinition {
        short_names: &["vac"],
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(
            VOLUME_ATTRIBUTES_CLASSES,
            "VolumeAttributesClass",
            "volumeattributesclass",
            version,
            ClassStrategy,
        )
    }
}

impl Strategy for ClassStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let class = Field::root(object);
        validate_driver_name(&class.at("driverName"), &mut faults);
        if class.at("parameters").count() == 0 {
            faults.required(&class.at("parameters"), "must contain at least one key/value pair");
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for field in ["driverName", "parameters"] {
            let (now, before) = (Field::root(object).at(field), Field::root(old).at(field));
            if now.value != before.value {
                faults.forbidden(&now, format!("updates to {field} are forbidden."));
            }
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name("Its name."), Column::text("DriverName", "Who changes the volumes."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/metadata/name").into(), text(object, "/driverName").into(), age(object, now)]
    }
}
