//! Secrets: named values for pods that are not shown around.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::fill::{clear, fill, object_at};
use super::read::{size, text};
use super::{Cell, Column, FieldGetter, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::ResourceType;

/// The resource type.
pub const SECRETS: ResourceType = ResourceType::new("", "secrets");

const SELECTABLE: &[(&str, FieldGetter)] = &[("type", |secret| text(secret, "/type").to_owned())];

struct SecretStrategy;

/// What a Secret is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.Secret");
    ResourceDefinition {
        selectable: SELECTABLE,
        ..ResourceDefinition::plain(SECRETS, "Secret", "secret", version, SecretStrategy)
    }
}

impl Strategy for SecretStrategy {
    fn default(&self, object: &mut Value) {
        fill(object, "type", "Opaque");
        store_string_data(object);
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Type", "What kind of values it holds."),
            Column::text("Data", "The number of keys."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![text(object, "/type").into(), size(object, "/data").to_string().into(), table::age(object, now)]
    }
}

/// `stringData` is for writing only: its values become `data`.
fn store_string_data(object: &mut Value) {
    let Some(Value::Object(written)) = object.get_mut("stringData").map(Value::take) else { return };
    clear(object, "stringData");
    let Some(data) = object_at(object, "data").and_then(Value::as_object_mut) else { return };
    for (key, value) in written {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        data.insert(key, Value::String(encoded));
    }
}
