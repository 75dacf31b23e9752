//! Secrets: named values for pods that are not shown around.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::config_map::{CONTENT_MAX_BYTES, check_immutable, check_key, decoded_bytes};
use super::fill::{clear, fill, object_at};
use super::read::{size, text};
use super::{Cell, Column, FieldGetter, ResourceDefinition, ServedVersion, Strategy, table};
use crate::object::{FieldError, FieldPath, ResourceType};
use crate::status::StatusCause;

/// The resource type.
pub const SECRETS: ResourceType = ResourceType::new("", "secrets");

const SELECTABLE: &[(&str, FieldGetter)] = &[("type", |secret| text(secret, "/type").to_owned())];

/// The account that a token in a secret speaks for.
const ACCOUNT_ANNOTATION: &str = "kubernetes.io/service-account.name";

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

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let secret = Field::root(object);
        let mut bytes = 0;
        for (key, value) in secret.at("data").entries() {
            check_key(key, &value, &mut faults);
            bytes += decoded_bytes(value.text());
        }
        if bytes > CONTENT_MAX_BYTES {
            faults.errors.push(FieldError::too_long(FieldPath::new("data"), CONTENT_MAX_BYTES));
        }
        check_type(&secret, &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (kind, before) = (Field::root(object).at("type"), Field::root(old).at("type"));
        faults.immutable(&kind, &before);
        let mut causes = faults.errors.causes();
        causes.extend(check_immutable(object, old, &["data"]));
        causes
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

/// What a secret of a known type must hold.
fn check_type(secret: &Field<'_>, faults: &mut Faults) {
    let data = secret.at("data");
    let mut require = |keys: &[&str]| {
        let missing = keys.iter().filter(|key| data.value.get(**key).is_none());
        missing.for_each(|key| faults.errors.push(FieldError::required(data.path.key(*key), "")));
    };
    match secret.at("type").text() {
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"]),
        "kubernetes.io/ssh-auth" => require(&["ssh-privatekey"]),
        "kubernetes.io/basic-auth" => {
            let keys = ["username", "password"];
            if keys.iter().all(|key| data.value.get(key).is_none()) {
                require(&keys);
            }
        }
        "kubernetes.io/dockercfg" => check_json(&data, ".dockercfg", faults),
        "kubernetes.io/dockerconfigjson" => check_json(&data, ".dockerconfigjson", faults),
        "kubernetes.io/service-account-token" => {
            let annotations = secret.at("metadata").at("annotations");
            let account = annotations.at(ACCOUNT_ANNOTATION);
            if account.text().is_empty() {
                faults.errors.push(FieldError::required(annotations.path.key(ACCOUNT_ANNOTATION), ""));
            }
        }
        _ => {}
    }
}

/// A value that is there and is a JSON object. It is a secret, also where it is wrong.
fn check_json(data: &Field<'_>, key: &'static str, faults: &mut Faults) {
    let (value, path) = (data.at(key), data.path.key(key));
    if !value.is_set() {
        return faults.errors.push(FieldError::required(path, ""));
    }
    let decoded = STANDARD.decode(value.text()).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<serde_json::Map<String, Value>>(&decoded) {
        faults.errors.push(FieldError::invalid(path, "<secret contents redacted>", error.to_string()));
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_data() {
        let mut secret = json!({"data": {"a": "AA=="}, "stringData": {"b": "hello"}});
        SecretStrategy.default(&mut secret);
        assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "AA==", "b": "aGVsbG8="}}));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let half = json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "AA=="}});
        let causes = SecretStrategy.validate(&half);
        assert_eq!(causes.iter().map(|cause| &*cause.field).collect::<Vec<_>>(), ["data[tls.key]"]);
        let other = json!({"type": "Opaque"});
        assert_eq!(SecretStrategy.validate_update(&half, &other)[0].field, "type");
    }
}
