//! ControllerRevisions: what a StatefulSet or a DaemonSet was before, to roll back to.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::ResourceType;
use crate::resource::check::{Faults, Field};
use crate::resource::read::{integer, is_true, items, text};
use crate::resource::table::{NONE, age};
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const CONTROLLER_REVISIONS: ResourceType = ResourceType::new("apps", "controllerrevisions");

struct ControllerRevisionStrategy;

/// What a ControllerRevision is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("apps", "v1", "io.k8s.api.apps.v1.ControllerRevision");
    ResourceDefinition::plain(
        CONTROLLER_REVISIONS,
        "ControllerRevision",
        "controllerrevision",
        version,
        ControllerRevisionStrategy,
    )
}

impl Strategy for ControllerRevisionStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.nonnegative(&Field::root(object).at("revision"));
        faults.errors.causes()
    }

    fn validate_create(&self, object: &Value, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let data = Field::root(object).at("data");
        if !data.is_set() {
            faults.required(&data, "data is mandatory");
        } else if !data.value.is_object() {
            faults.required(&data, "data must be a valid JSON object");
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&Field::root(object).at("data"), &Field::root(old).at("data"));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Controller", "Whose revision it is."),
            Column::text("Revision", "Its place among the revisions."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![controller(object).into(), integer(object, "/revision").into(), age(object, now)]
    }
}

/// The controlling owner as `statefulset.apps/web`.
fn controller(object: &Value) -> String {
    let Some(owner) = items(object, "/metadata/ownerReferences").find(|owner| is_true(owner, "/controller")) else {
        return NONE.to_owned();
    };
    let (version, kind) = (text(owner, "/apiVersion"), text(owner, "/kind").to_lowercase());
    let group = version.rsplit_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    format!("{kind}{group}/{}", text(owner, "/name"))
}
