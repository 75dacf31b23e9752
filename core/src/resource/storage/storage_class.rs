//! StorageClasses: kinds of storage claims may ask for.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::{FieldError, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::fill;
use crate::resource::read::{is_true, text};
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy};
use crate::status::StatusCause;

/// The resource type.
pub const STORAGE_CLASSES: ResourceType = ResourceType::new("storage.k8s.io", "storageclasses");

/// The annotations that mark the class of claims that name none.
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// What a provisioner may be told: how many parameters, and how long together.
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_MAX_BYTES: usize = 256 * 1024;

struct StorageClassStrategy;

/// What a StorageClass is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("storage.k8s.io", "v1", "io.k8s.api.storage.v1.StorageClass");
    ResourceDefinition {
        short_names: &["sc"],
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(STORAGE_CLASSES, "StorageClass", "storageclass", version, StorageClassStrategy)
    }
}

impl Strategy for StorageClassStrategy {
    fn default(&self, object: &mut Value) {
        fill(object, "reclaimPolicy", "Delete");
        fill(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let class = Field::root(object);
        faults.required_rule(&class.at("provisioner"), |name| names::qualified_name(&name.to_lowercase()));
        validate_parameters(&class.at("parameters"), &mut faults);
        faults.one_of_if_set(&class.at("reclaimPolicy"), &["Delete", "Retain"]);
        faults.one_of_if_set(&class.at("volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"]);
        validate_topologies(&class.at("allowedTopologies"), &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (class, before) = (Field::root(object), Field::root(old));
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if class.at(field).value != before.at(field).value {
                faults.forbidden(&class.at(field), format!("updates to {field} are forbidden."));
            }
        }
        faults.immutable(&class.at("volumeBindingMode"), &before.at("volumeBindingMode"));
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name, and whether claims that name none get it."),
            Column::text("Provisioner", "Who makes its volumes."),
            Column::text("ReclaimPolicy", "What becomes of a volume when its claim goes."),
            Column::text("VolumeBindingMode", "When a claim gets its volume."),
            Column::boolean("AllowVolumeExpansion", "Whether claims may grow."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let annotations = object.pointer("/metadata/annotations");
        let marked = |name: &str| annotations.and_then(|it| it.get(name)).is_some_and(|value| value == "true");
        let suffix = if DEFAULT_ANNOTATIONS.into_iter().any(marked) { " (default)" } else { "" };
        vec![
            format!("{}{suffix}", text(object, "/metadata/name")).into(),
            text(object, "/provisioner").into(),
            text(object, "/reclaimPolicy").into(),
            text(object, "/volumeBindingMode").into(),
            is_true(object, "/allowVolumeExpansion").into(),
            age(object, now),
        ]
    }
}

fn validate_parameters(parameters: &Field<'_>, faults: &mut Faults) {
    if parameters.count() > PARAMETERS_MAX {
        return faults.errors.push(FieldError::too_long(parameters.path.clone(), PARAMETERS_MAX));
    }
    if parameters.value.get("").is_some() {
        faults.errors.push(FieldError::invalid(parameters.path.clone(), "", "field can not be empty."));
    }
    if parameters.texts().map(|(key, value)| key.len() + value.len()).sum::<usize>() > PARAMETERS_MAX_BYTES {
        faults.errors.push(FieldError::too_long(parameters.path.clone(), PARAMETERS_MAX_BYTES));
    }
}

fn validate_topologies(topologies: &Field<'_>, faults: &mut Faults) {
    let mut seen: Vec<&Value> = Vec::new();
    for term in topologies.items() {
        let expressions = term.at("matchLabelExpressions");
        for expression in expressions.items() {
            let (key, values) = (expression.at("key"), expression.at("values"));
            if values.count() == 0 {
                faults.required(&values, "");
            }
            names::label_key(key.text(), &key.path, &mut faults.errors);
            let earlier = expressions.items().take_while(|it| it.path != expression.path);
            if earlier.filter(|it| it.at("key").text() == key.text()).count() > 0 {
                faults.duplicate(&key);
            }
        }
        if seen.contains(&expressions.value) {
            faults.errors.push(FieldError::duplicate(expressions.path.clone(), ""));
        }
        seen.push(expressions.value);
    }
}
