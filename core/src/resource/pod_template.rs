//! PodTemplates: templates kept for whoever makes pods of them.

use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::fill::object_at;
use super::pod::default::pod_template;
use super::pod::validate_template;
use super::table::containers_and_images;
use super::workload::shown_selector;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy};
use crate::object::ResourceType;
use crate::status::StatusCause;

/// The resource type.
pub const POD_TEMPLATES: ResourceType = ResourceType::new("", "podtemplates");

struct PodTemplateStrategy;

/// What a PodTemplate is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.PodTemplate");
    ResourceDefinition {
        has_generation: true,
        ..ResourceDefinition::plain(POD_TEMPLATES, "PodTemplate", "podtemplate", version, PodTemplateStrategy)
    }
}

impl Strategy for PodTemplateStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(template) = object_at(object, "template") {
            pod_template(template);
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        validate_template(&Field::root(object).at("template"), &mut faults);
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Containers", "The names of the template's containers."),
            Column::text("Images", "The images of the template's containers."),
            Column::text("Pod Labels", "The labels of pods made from it."),
        ]
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Cell> {
        let [containers, images] = containers_and_images(object, "/template/spec/containers");
        vec![containers, images, shown_selector(object.pointer("/template/metadata/labels").unwrap_or(&Value::Null))]
    }
}
