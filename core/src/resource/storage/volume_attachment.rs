//! VolumeAttachments: which volume is to be at which node.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::validate_driver_name;
use crate::object::{FieldError, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::equal::same;
use crate::resource::fill::set;
use crate::resource::read::{is_true, text};
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const VOLUME_ATTACHMENTS: ResourceType = ResourceType::new("storage.k8s.io", "volumeattachments");

/// What an attachment may say of itself, and of what went wrong, in bytes.
const METADATA_MAX_BYTES: usize = 256 * 1024;
/// Why neither and both are refused.
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
const MESSAGE_MAX_BYTES: usize = 1024;

struct AttachmentStrategy;

/// What a VolumeAttachment is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("storage.k8s.io", "v1", "io.k8s.api.storage.v1.VolumeAttachment");
    ResourceDefinition {
        scope: Scope::Cluster,
        has_status: true,
        ..ResourceDefinition::plain(
            VOLUME_ATTACHMENTS,
            "VolumeAttachment",
            "volumeattachment",
            version,
            AttachmentStrategy,
        )
    }
}

impl Strategy for AttachmentStrategy {
    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({"attached": false}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        validate_driver_name(&spec.at("attacher"), &mut faults);
        faults.rule(&spec.at("nodeName"), names::dns_1123_subdomain);
        let source = spec.at("source");
        let (inline, volume) = (source.at("inlineVolumeSpec"), source.at("persistentVolumeName"));
        match (inline.is_set(), volume.is_set()) {
            (false, false) => faults.required(&source, ONE_SOURCE),
            (true, true) => faults.forbidden(&source, ONE_SOURCE),
            (false, true) if volume.text().is_empty() => {
                faults.required(&volume, "must specify non empty persistentVolumeName");
            }
            (false, true) => faults.rule(&volume, names::dns_1123_subdomain),
            (true, false) if !inline.at("csi").is_set() => {
                faults.required(&inline.at("csi"), "has to be specified in the context of inline volumes");
            }
            (true, false) => {}
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        if !same(spec.value, Field::root(old).at("spec").value) {
            faults.invalid(&spec, "field is immutable");
        }
        faults.errors.causes()
    }

    fn validate_status(&self, object: &Value, _old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let status = Field::root(object).at("status");
        let metadata = status.at("attachmentMetadata");
        if metadata.texts().map(|(key, value)| key.len() + value.len()).sum::<usize>() > METADATA_MAX_BYTES {
            faults.errors.push(FieldError::too_long(metadata.path, METADATA_MAX_BYTES));
        }
        for error in status.which(["attachError", "detachError"]) {
            let (message, code) = (error.at("message"), error.at("errorCode"));
            if message.text().len() > MESSAGE_MAX_BYTES {
                faults.errors.push(FieldError::too_long(message.path, METADATA_MAX_BYTES));
            }
            faults.number_rule(&code, |code| names::in_range(code, 0, i64::from(i32::MAX)));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name."),
            Column::text("Attacher", "Who attaches it."),
            Column::text("PV", "The volume."),
            Column::text("Node", "The node."),
            Column::boolean("Attached", "Whether it is there."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![
            text(object, "/metadata/name").into(),
            text(object, "/spec/attacher").into(),
            text(object, "/spec/source/persistentVolumeName").into(),
            text(object, "/spec/nodeName").into(),
            is_true(object, "/status/attached").into(),
            age(object, now),
        ]
    }
}
