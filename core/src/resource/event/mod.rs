//! Events: what happened to an object, for people. Stored as `v1`, served as `v1` and `events.k8s.io/v1`.

mod columns;
mod convert;
mod validate;

use jiff::Timestamp;
use serde_json::Value;

use super::read::text;
use super::{Cell, Column, FieldGetter, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::object::ResourceType;
use crate::status::StatusCause;

/// The resource type.
pub const EVENTS: ResourceType = ResourceType::new("", "events");

/// Events are kept this long after their last change.
pub const EVENT_TTL_SECONDS: u32 = 3600;

const SELECTABLE: &[(&str, FieldGetter)] = &[
    ("involvedObject.kind", |event| text(event, "/involvedObject/kind").to_owned()),
    ("involvedObject.namespace", |event| text(event, "/involvedObject/namespace").to_owned()),
    ("involvedObject.name", |event| text(event, "/involvedObject/name").to_owned()),
    ("involvedObject.uid", |event| text(event, "/involvedObject/uid").to_owned()),
    ("involvedObject.apiVersion", |event| text(event, "/involvedObject/apiVersion").to_owned()),
    ("involvedObject.resourceVersion", |event| text(event, "/involvedObject/resourceVersion").to_owned()),
    ("involvedObject.fieldPath", |event| text(event, "/involvedObject/fieldPath").to_owned()),
    ("regarding.kind", |event| text(event, "/involvedObject/kind").to_owned()),
    ("regarding.namespace", |event| text(event, "/involvedObject/namespace").to_owned()),
    ("regarding.name", |event| text(event, "/involvedObject/name").to_owned()),
    ("regarding.uid", |event| text(event, "/involvedObject/uid").to_owned()),
    ("regarding.apiVersion", |event| text(event, "/involvedObject/apiVersion").to_owned()),
    ("regarding.resourceVersion", |event| text(event, "/involvedObject/resourceVersion").to_owned()),
    ("regarding.fieldPath", |event| text(event, "/involvedObject/fieldPath").to_owned()),
    ("reason", |event| text(event, "/reason").to_owned()),
    ("reportingComponent", |event| text(event, "/reportingComponent").to_owned()),
    ("reportingController", |event| text(event, "/reportingComponent").to_owned()),
    ("source", source),
    ("type", |event| text(event, "/type").to_owned()),
];

/// See [`is_indexed`](super::is_indexed).
pub(super) const NOT_INDEXED: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingComponent",
    "reportingController",
    "source",
    "type",
];

struct EventStrategy;

/// What an Event is.
pub(super) fn definition() -> ResourceDefinition {
    let stored = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.Event");
    let newer = ServedVersion {
        from_stored: Some(convert::from_stored),
        to_stored: Some(convert::to_stored),
        ..ServedVersion::stored("events.k8s.io", "v1", "io.k8s.api.events.v1.Event")
    };
    let mut definition = ResourceDefinition {
        short_names: &["ev"],
        selectable: SELECTABLE,
        ttl_seconds: Some(EVENT_TTL_SECONDS),
        ..ResourceDefinition::plain(EVENTS, "Event", "event", stored, EventStrategy)
    };
    definition.versions.push(newer);
    definition
}

/// Who reported the event: the older field, or else the newer one.
fn source(event: &Value) -> String {
    match text(event, "/source/component") {
        "" => text(event, "/reportingComponent").to_owned(),
        component => component.to_owned(),
    }
}

impl Strategy for EventStrategy {
    fn validate_create(&self, object: &Value, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        validate::event(object).errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        columns::columns()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        columns::cells(object, now)
    }
}
