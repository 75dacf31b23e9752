//! CSINodes: the drivers of the container storage interface on a node.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::validate_driver_name;
use crate::object::{FieldError, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::clear;
use crate::resource::read::size;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const CSI_NODES: ResourceType = ResourceType::new("storage.k8s.io", "csinodes");

/// The longest name a driver has for a node, in bytes.
const NODE_ID_MAX_BYTES: usize = 256;

struct CsiNodeStrategy;

/// What a CSINode is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("storage.k8s.io", "v1", "io.k8s.api.storage.v1.CSINode");
    ResourceDefinition {
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(CSI_NODES, "CSINode", "csinode", version, CsiNodeStrategy)
    }
}

impl Strategy for CsiNodeStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let mut seen = BTreeSet::new();
        for driver in Field::root(object).at("spec").at("drivers").items() {
            let (name, id) = (driver.at("name"), driver.at("nodeID"));
            validate_driver_name(&name, &mut faults);
            faults.required_text(&id);
            if id.text().len() > NODE_ID_MAX_BYTES {
                faults.invalid(&id, format!("must be {NODE_ID_MAX_BYTES} characters or less"));
            }
            faults.nonnegative(&driver.at("allocatable").at("count"));
            if !seen.insert(name.text()) {
                faults.duplicate(&name);
            }
            topology_keys(&driver, &mut faults);
        }
        faults.errors.causes()
    }

    /// A driver on a node stays as it is, but for how much the node can hold.
    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let drivers = |object| Field::root(object).at("spec").at("drivers");
        let fixed = |driver: &Field<'_>| {
            let mut driver = driver.value.clone();
            clear(&mut driver, "allocatable");
            driver
        };
        for driver in drivers(object).items() {
            let before = drivers(old).items().find(|old| old.at("name").text() == driver.at("name").text());
            if before.is_some_and(|before| fixed(&before) != fixed(&driver)) {
                let path = drivers(object).path;
                faults.errors.push(FieldError::invalid(path, fixed(&driver), "field is immutable"));
            }
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::integer("Drivers", "The number of drivers on the node."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![size(object, "/spec/drivers").into(), age(object, now)]
    }
}

fn topology_keys(driver: &Field<'_>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for key in driver.at("topologyKeys").items() {
        let at = Field { path: driver.path.clone(), ..key };
        if !seen.insert(at.text()) {
            faults.duplicate(&at);
        }
        faults.required_rule(&at, names::qualified_name);
    }
}
