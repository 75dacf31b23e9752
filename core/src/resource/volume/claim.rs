//! PersistentVolumeClaims: requests for storage.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{class_name, or_unset, shown_access_modes, shown_phase, validate_access_modes, validate_volume_mode};
use crate::object::{FieldError, FieldPath, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::equal::same;
use crate::resource::fill::{clear, fill, object_at, present, set};
use crate::resource::label_selector::validate_label_selector;
use crate::resource::read::text;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const PERSISTENT_VOLUME_CLAIMS: ResourceType = ResourceType::new("", "persistentvolumeclaims");

struct ClaimStrategy;

/// What a PersistentVolumeClaim is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.PersistentVolumeClaim");
    ResourceDefinition {
        short_names: &["pvc"],
        has_status: true,
        // Claims that wait are found by it, when a volume or a class appears.
        selectable_paths: vec!["status.phase"],
        ..ResourceDefinition::plain(
            PERSISTENT_VOLUME_CLAIMS,
            "PersistentVolumeClaim",
            "persistentvolumeclaim",
            version,
            ClaimStrategy,
        )
    }
}

/// The defaults of a claim, or of the template of one.
pub fn claim_defaults(claim: &mut Value) {
    if let Some(spec) = object_at(claim, "spec") {
        fill(spec, "volumeMode", "Filesystem");
    }
    if let Some(status) = object_at(claim, "status") {
        fill(status, "phase", "Pending");
    }
}

impl Strategy for ClaimStrategy {
    fn default(&self, object: &mut Value) {
        claim_defaults(object);
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({"phase": "Pending"}));
        if let Some(spec) = present(object, "spec") {
            agree_on_source(spec);
        }
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value, _cx: &WriteContext<'_>) {
        if let Some(spec) = present(object, "spec") {
            agree_on_source(spec);
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        validate_claim_spec(&Field::root(object).at("spec"), &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (spec, before) = (Field::root(object).at("spec"), Field::root(old).at("spec"));
        if !same(&fixed(object, old), &fixed(old, old)) {
            let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            faults.forbidden(&spec, why);
        }
        let capacity = Field::root(old).at("status").at("capacity").at("storage");
        let wanted = storage(&spec);
        if let (Some(size), Some(earlier)) = (wanted.quantity(), storage(&before).quantity())
            && size < earlier
            && capacity.quantity().is_some_and(|capacity| size <= capacity)
        {
            faults.forbidden(&wanted, "field can not be less than status.capacity");
        }
        let mode = Field { path: FieldPath::new("volumeMode"), ..spec.at("volumeMode") };
        faults.immutable(&mode, &before.at("volumeMode"));
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        for (_, amount) in Field::root(object).at("status").at("capacity").entries() {
            if amount.quantity().is_some_and(|amount| amount.is_negative()) {
                faults.invalid(&amount, "must be a valid resource quantity");
            }
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Status", "Whether it is bound to a volume."),
            Column::text("Volume", "The volume it is bound to."),
            Column::text("Capacity", "How much the volume holds."),
            Column::text("Access Modes", "How the volume may be used."),
            Column::text("StorageClass", "The class of storage asked for."),
            Column::text("VolumeAttributesClass", "The class of attributes asked for."),
            Column::age(),
            Column::text("VolumeMode", "Whether it is a file system or a block device.").wide(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let volume = text(object, "/spec/volumeName");
        let (capacity, modes) = match volume {
            "" => ("", String::new()),
            _ => (text(object, "/status/capacity/storage"), shown_access_modes(object, "/status/accessModes")),
        };
        vec![
            shown_phase(object).into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            class_name(object).into(),
            or_unset(object, "/spec/volumeAttributesClassName").into(),
            age(object, now),
            or_unset(object, "/spec/volumeMode").into(),
        ]
    }
}

/// The spec of a claim, of the template of one, or of an ephemeral volume's.
pub fn validate_claim_spec(spec: &Field<'_>, faults: &mut Faults) {
    let modes = spec.at("accessModes");
    if modes.count() == 0 {
        faults.required(&modes, "at least 1 access mode is required");
    }
    validate_label_selector(&spec.at("selector"), faults);
    validate_access_modes(&modes, faults);
    validate_size(spec, faults);
    faults.optional_rule(&spec.at("storageClassName"), names::dns_1123_subdomain);
    validate_volume_mode(&spec.at("volumeMode"), faults);
    validate_sources(spec, faults);
    faults.optional_rule(&spec.at("volumeAttributesClassName"), names::dns_1123_subdomain);
}

fn storage<'v>(spec: &Field<'v>) -> Field<'v> {
    spec.at("resources").at("requests").at("storage")
}

fn validate_size(spec: &Field<'_>, faults: &mut Faults) {
    let size = Field { path: spec.path.child("resources").key("storage"), ..storage(spec) };
    match size.quantity() {
        None => faults.required(&size, ""),
        Some(amount) if amount.is_zero() || amount.is_negative() => {
            faults.invalid(&size, "must be greater than zero");
        }
        Some(_) => {}
    }
}

fn validate_sources(spec: &Field<'_>, faults: &mut Faults) {
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    for found in [&source, &reference].into_iter().filter(|it| it.is_set()) {
        faults.required_text(&found.at("name"));
        faults.required_text(&found.at("kind"));
        let (group, kind) = (found.at("apiGroup"), found.at("kind").text());
        faults.optional_rule(&group, names::dns_1123_subdomain);
        if group.text().is_empty() && kind != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            faults.errors.push(FieldError::invalid(found.path.clone(), kind, why));
        }
    }
    faults.optional_rule(&reference.at("namespace"), names::dns_1123_label);
    let elsewhere = !reference.at("namespace").text().is_empty();
    let why = match (source.is_set(), reference.is_set()) {
        (true, true) if elsewhere => "may not be specified when dataSourceRef.namespace is specified",
        (true, true) if !same(source.value, reference.value) => "must match dataSourceRef",
        _ => return,
    };
    faults.errors.push(FieldError::invalid(spec.path.clone(), source.path.to_string(), why));
}

/// The two ways to name a source say the same: what one says, the other is given. The old one knows claims and snapshots
/// alone; anything else there has always been passed over.
fn agree_on_source(spec: &mut Value) {
    let of = |spec: &Value, field: &str| spec.get(field).filter(|source| source.is_object()).cloned();
    match (of(spec, "dataSource"), of(spec, "dataSourceRef")) {
        (Some(source), None) => match (text(&source, "/apiGroup"), text(&source, "/kind")) {
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot") => {
                set(spec, "dataSourceRef", source);
            }
            _ => clear(spec, "dataSource"),
        },
        (None, Some(reference)) if text(&reference, "/namespace").is_empty() => set(spec, "dataSource", reference),
        _ => {}
    }
}

/// What of a claim's spec must not change: all, but that a volume may be named once, and a bound claim may grow.
fn fixed(object: &Value, old: &Value) -> Value {
    let mut spec = object.get("spec").cloned().unwrap_or_default();
    if text(old, "/spec/volumeName").is_empty() {
        clear(&mut spec, "volumeName");
    }
    if old.pointer("/spec/storageClassName").is_none_or(Value::is_null) {
        clear(&mut spec, "storageClassName");
    }
    if text(old, "/status/phase") == "Bound" {
        clear(&mut spec, "volumeAttributesClassName");
        if let Some(requests) = present(&mut spec, "resources").and_then(|resources| present(resources, "requests")) {
            clear(requests, "storage");
        }
    }
    spec
}
