//! The kinds of `resource.k8s.io/v1`: devices, their classes, and who claims them. They are kept for drivers and schedulers that
//! know them; nodes here give out no devices.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{fill, items_mut, object_at, present, set};
use super::read::text;
use super::table::age;
use super::{Cell, Column, FieldGetter, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext};
use crate::object::{ResourceType, names};
use crate::status::StatusCause;

const GROUP: &str = "resource.k8s.io";

/// The resource type.
const DEVICE_CLASSES: ResourceType = ResourceType::new(GROUP, "deviceclasses");
/// The resource type.
const RESOURCE_CLAIMS: ResourceType = ResourceType::new(GROUP, "resourceclaims");
/// The resource type.
const RESOURCE_CLAIM_TEMPLATES: ResourceType = ResourceType::new(GROUP, "resourceclaimtemplates");
/// The resource type.
const RESOURCE_SLICES: ResourceType = ResourceType::new(GROUP, "resourceslices");

const SLICES_ARE_FOUND_BY: &[(&str, FieldGetter)] = &[
    ("spec.driver", |slice| text(slice, "/spec/driver").to_owned()),
    ("spec.nodeName", |slice| text(slice, "/spec/nodeName").to_owned()),
];

struct ClassStrategy;
struct ClaimStrategy;
struct TemplateStrategy;
struct SliceStrategy;

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 4] {
    let version = |schema| ServedVersion::stored(GROUP, "v1", schema);
    let class = version("io.k8s.api.resource.v1.DeviceClass");
    let claim = version("io.k8s.api.resource.v1.ResourceClaim");
    let template = version("io.k8s.api.resource.v1.ResourceClaimTemplate");
    let slice = version("io.k8s.api.resource.v1.ResourceSlice");
    [
        ResourceDefinition {
            scope: Scope::Cluster,
            has_generation: true,
            ..ResourceDefinition::plain(DEVICE_CLASSES, "DeviceClass", "deviceclass", class, ClassStrategy)
        },
        ResourceDefinition {
            has_status: true,
            ..ResourceDefinition::plain(RESOURCE_CLAIMS, "ResourceClaim", "resourceclaim", claim, ClaimStrategy)
        },
        ResourceDefinition::plain(
            RESOURCE_CLAIM_TEMPLATES,
            "ResourceClaimTemplate",
            "resourceclaimtemplate",
            template,
            TemplateStrategy,
        ),
        ResourceDefinition {
            scope: Scope::Cluster,
            has_generation: true,
            selectable: SLICES_ARE_FOUND_BY,
            ..ResourceDefinition::plain(RESOURCE_SLICES, "ResourceSlice", "resourceslice", slice, SliceStrategy)
        },
    ]
}

/// One device where a request does not say how many.
fn default_claim(spec: &mut Value) {
    let Some(devices) = present(spec, "devices") else { return };
    for request in items_mut(devices, "requests") {
        let Some(exactly) = present(request, "exactly") else { continue };
        fill(exactly, "allocationMode", "ExactCount");
        if text(exactly, "/allocationMode") == "ExactCount" {
            fill(exactly, "count", 1);
        }
    }
}

fn validate_claim(spec: &Field<'_>, faults: &mut Faults) {
    for request in spec.at("devices").at("requests").items() {
        faults.required_rule(&request.at("name"), names::dns_1123_label);
        let (exactly, first) = (request.at("exactly"), request.at("firstAvailable"));
        match (exactly.is_set(), first.count() > 0) {
            (true, false) => faults.required_rule(&exactly.at("deviceClassName"), names::dns_1123_subdomain),
            (false, true) => {}
            _ => faults.invalid_omitted(&request, "exactly one of `exactly` or `firstAvailable` is required"),
        }
    }
}

impl Strategy for ClassStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for selector in Field::root(object).at("spec").at("selectors").items() {
            faults.required_text(&selector.at("cel").at("expression"));
        }
        faults.errors.causes()
    }
}

impl Strategy for ClaimStrategy {
    fn default(&self, object: &mut Value) {
        object_at(object, "spec").into_iter().for_each(default_claim);
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        validate_claim(&Field::root(object).at("spec"), &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&Field::root(object).at("spec"), &Field::root(old).at("spec"));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::name("Its name."), Column::text("State", "Whether it has its devices."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let is_set = |pointer| object.pointer(pointer).is_some_and(|it| !it.is_null());
        let state = match (is_set("/status/allocation"), is_set("/status/reservedFor")) {
            (false, _) => "pending",
            (true, false) => "allocated",
            (true, true) => "allocated,reserved",
        };
        vec![text(object, "/metadata/name").into(), state.into(), age(object, now)]
    }
}

impl Strategy for TemplateStrategy {
    fn default(&self, object: &mut Value) {
        let claim = object_at(object, "spec").and_then(|template| object_at(template, "spec"));
        claim.into_iter().for_each(default_claim);
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        validate_claim(&Field::root(object).at("spec").at("spec"), &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        faults.immutable(&Field::root(object).at("spec"), &Field::root(old).at("spec"));
        faults.errors.causes()
    }
}

impl Strategy for SliceStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.required_rule(&spec.at("driver"), names::dns_1123_subdomain);
        faults.required_text(&spec.at("pool").at("name"));
        faults.nonnegative(&spec.at("pool").at("generation"));
        for device in spec.at("devices").items() {
            faults.required_rule(&device.at("name"), names::dns_1123_label);
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (spec, before) = (Field::root(object).at("spec"), Field::root(old).at("spec"));
        for field in ["driver", "nodeName"] {
            faults.immutable(&spec.at(field), &before.at(field));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name."),
            Column::text("Node", "The node the devices are on."),
            Column::text("Driver", "Who has the devices."),
            Column::text("Pool", "What they are part of."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let shown = |pointer| text(object, pointer).into();
        vec![
            shown("/metadata/name"),
            shown("/spec/nodeName"),
            shown("/spec/driver"),
            shown("/spec/pool/name"),
            age(object, now),
        ]
    }
}
