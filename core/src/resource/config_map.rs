//! ConfigMaps: named values and files for pods.

use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::read::size;
use super::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::{FieldError, FieldPath, ResourceType, names};
use crate::status::StatusCause;

/// The resource type.
pub const CONFIG_MAPS: ResourceType = ResourceType::new("", "configmaps");

/// What the values of a ConfigMap or a Secret may hold together, in bytes.
pub(super) const CONTENT_MAX_BYTES: usize = 1024 * 1024;

struct ConfigMapStrategy;

/// What a ConfigMap is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ConfigMap");
    ResourceDefinition {
        short_names: &["cm"],
        ..ResourceDefinition::plain(CONFIG_MAPS, "ConfigMap", "configmap", version, ConfigMapStrategy)
    }
}

impl Strategy for ConfigMapStrategy {
    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let map = Field::root(object);
        let (data, binary) = (map.at("data"), map.at("binaryData"));
        let mut bytes = 0;
        for (key, value) in data.entries() {
            check_key(key, &value, &mut faults);
            if binary.value.get(key).is_some() {
                faults.errors.push(FieldError::invalid(
                    value.path.clone(),
                    key,
                    "duplicate of key present in binaryData",
                ));
            }
            bytes += value.text().len();
        }
        for (key, value) in binary.entries() {
            check_key(key, &value, &mut faults);
            bytes += decoded_bytes(value.text());
        }
        if bytes > CONTENT_MAX_BYTES {
            faults.errors.push(FieldError::too_long(FieldPath::root(), CONTENT_MAX_BYTES));
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        check_immutable(object, old, &["data", "binaryData"])
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Data", "The number of keys."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let keys = size(object, "/data") + size(object, "/binaryData");
        vec![keys.to_string().into(), table::age(object, now)]
    }
}

/// A key of a ConfigMap or a Secret is the name of a file.
pub(super) fn check_key(key: &str, value: &Field<'_>, faults: &mut Faults) {
    faults.errors.push_messages(&value.path, key, names::config_map_key(key));
}

/// How many bytes a base64 text stands for.
pub(super) fn decoded_bytes(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// What was declared immutable stays so, and keeps `fields`.
pub(super) fn check_immutable(object: &Value, old: &Value, fields: &[&'static str]) -> Vec<StatusCause> {
    let mut faults = Faults::default();
    let (object, old) = (Field::root(object), Field::root(old));
    if old.at("immutable").is_true() {
        const WHY: &str = "field is immutable when `immutable` is set";
        if !object.at("immutable").is_true() {
            faults.forbidden(&object.at("immutable"), WHY);
        }
        for field in fields {
            if object.at(field).value != old.at(field).value {
                faults.forbidden(&object.at(field), WHY);
            }
        }
    }
    faults.errors.causes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(object: Value) -> Vec<String> {
        let causes = ConfigMapStrategy.validate(&object);
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn keys_are_file_names() {
        assert_eq!(faults(json!({"data": {"a.conf": "x"}, "binaryData": {"b": "AA=="}})), Vec::<String>::new());
        assert!(
            faults(json!({"data": {"a/b": "x"}}))[0]
                .starts_with("data[a/b]: Invalid value: \"a/b\": a valid config key")
        );
        let both = faults(json!({"data": {"a": "x"}, "binaryData": {"a": "AA=="}}));
        assert_eq!(both, ["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"]);
    }

    #[test]
    fn a_map_holds_a_mebibyte() {
        let value = "x".repeat(CONTENT_MAX_BYTES);
        assert_eq!(faults(json!({"data": {"a": value}})), Vec::<String>::new());
        assert_eq!(faults(json!({"data": {"a": value, "b": "x"}})), [": Too long: may not be more than 1048576 bytes"]);
    }

    #[test]
    fn what_is_immutable_stays() {
        let old = json!({"immutable": true, "data": {"a": "x"}});
        let changed = json!({"immutable": true, "data": {"a": "y"}});
        let thawed = json!({"data": {"a": "x"}});
        let fields = |object: &Value| -> Vec<String> {
            ConfigMapStrategy.validate_update(object, &old).into_iter().map(|cause| cause.field).collect()
        };
        assert_eq!(fields(&old), Vec::<String>::new());
        assert_eq!(fields(&changed), ["data"]);
        assert_eq!(fields(&thawed), ["immutable"]);
    }
}
