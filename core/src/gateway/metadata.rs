//! The metadata the server fills in, and keeps.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::preparation::Preparation;
use crate::object::ObjectKey;
use crate::resource::read::at;
use crate::status::Status;

/// The longest name `generateName` may lead to (a DNS label), less the five characters added.
const GENERATED_PREFIX_MAX: usize = 58;

/// How often a generated name may be taken before the caller is asked to come back.
const GENERATE_TRIES_MAX: usize = 8;

/// An instant as `metav1.Time`: whole seconds.
pub(super) fn time(now: Timestamp) -> Value {
    // Cut off, not rounded: nothing is ever created in the future.
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Value::String(seconds.to_string())
}

/// The metadata of an object, made where it is missing.
///
/// The schema has made sure it is an object if it is there.
pub(super) fn metadata_mut(object: &mut Value) -> Result<&mut Map<String, Value>, Status> {
    object
        .as_object_mut()
        .map(|fields| fields.entry("metadata").or_insert_with(|| Value::Object(Map::new())))
        .and_then(Value::as_object_mut)
        .ok_or_else(|| Status::bad_request("metadata: expected an object"))
}

/// The text at `metadata.<field>`, empty where it is missing.
pub(super) fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the object has finalizers.
pub(super) fn has_finalizers(object: &Value) -> bool {
    at(object, "/metadata/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

impl Preparation<'_> {
    /// The name of a new object: its own, or generated; and its namespace, which must be the path's.
    pub(super) fn name_new(&mut self, object: &mut Value) -> Result<ObjectKey, Status> {
        self.place(object)?;
        let target = &self.mutation.target;
        let own = text(object, "name").to_owned();
        match target.name.as_deref() {
            Some(path_name) if own.is_empty() => {
                metadata_mut(object)?.insert("name".to_owned(), Value::String(path_name.to_owned()));
                return Ok(target.key(path_name));
            }
            Some(path_name) if path_name != own => return Err(name_mismatch(&own, path_name)),
            _ => {}
        }
        if !own.is_empty() {
            return Ok(target.key(&own));
        }
        let prefix = text(object, "generateName").to_owned();
        if prefix.is_empty() {
            // Validation names the missing field.
            return Ok(target.key(""));
        }
        let key = self.generate(&prefix)?;
        metadata_mut(object)?.insert("name".to_owned(), Value::String(key.name.to_string()));
        Ok(key)
    }

    fn generate(&mut self, prefix: &str) -> Result<ObjectKey, Status> {
        let prefix: String = prefix.chars().take(GENERATED_PREFIX_MAX).collect();
        for _ in 0..GENERATE_TRIES_MAX {
            let key = self.mutation.target.key(&format!("{prefix}{}", self.entropy.name_suffix()));
            if self.snapshot.get(&key).is_none() {
                return Ok(key);
            }
        }
        let resource = self.mutation.target.resource_name();
        Err(Status::already_exists(&resource, &format!("{prefix}…")))
    }

    /// Puts the object into the path's namespace.
    pub(super) fn place(&self, object: &mut Value) -> Result<(), Status> {
        let path_namespace = self.mutation.target.namespace.as_deref().unwrap_or_default();
        let own = text(object, "namespace");
        if !own.is_empty() && own != path_namespace {
            return Err(Status::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request: got {own:?}, expected {path_namespace:?}"
            )));
        }
        if !path_namespace.is_empty() {
            let namespace = Value::String(path_namespace.to_owned());
            metadata_mut(object)?.insert("namespace".to_owned(), namespace);
        }
        Ok(())
    }

    /// Gives a new object what only the server gives.
    pub(super) fn stamp_new(&mut self, object: &mut Value) -> Result<(), Status> {
        let (uid, now, generation) = (self.entropy.uuid(), time(self.now), self.definition.has_generation);
        let metadata = metadata_mut(object)?;
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"] {
            metadata.remove(field);
        }
        drop_empty(metadata);
        metadata.insert("uid".to_owned(), Value::String(uid));
        metadata.insert("creationTimestamp".to_owned(), now);
        if generation {
            metadata.insert("generation".to_owned(), Value::from(1));
        }
        Ok(())
    }

    /// Keeps what no client may change.
    pub(super) fn keep_metadata(&self, object: &mut Value, old: &Value) -> Result<(), Status> {
        const KEPT: [&str; 7] = [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ];
        let old = old.get("metadata").and_then(Value::as_object);
        let metadata = metadata_mut(object)?;
        metadata.remove("selfLink");
        metadata.remove("resourceVersion");
        drop_empty(metadata);
        keep_fields(metadata, old, &KEPT);
        Ok(())
    }
}

/// Makes some fields what they are in `old`, or takes them away where they are not there.
pub(super) fn keep_fields(metadata: &mut Map<String, Value>, old: Option<&Map<String, Value>>, fields: &[&str]) {
    for field in fields {
        match old.and_then(|old| old.get(*field)) {
            Some(value) => metadata.insert((*field).to_owned(), value.clone()),
            None => metadata.remove(*field),
        };
    }
}

/// Makes all fields but some what they are in `old`. What is so already is not copied.
pub(super) fn keep_all_but(fields: &mut Map<String, Value>, old: &Map<String, Value>, but: &[&str]) {
    let is_kept = |name: &String| !but.contains(&name.as_str());
    fields.retain(|name, _| !is_kept(name) || old.contains_key(name));
    for (name, value) in old.iter().filter(|(name, _)| is_kept(name)) {
        if fields.get(name) != Some(value) {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// What holds nothing is not stored: whoever took the last label away and whoever never had one have the same object.
fn drop_empty(metadata: &mut Map<String, Value>) {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    for field in ["labels", "annotations", "ownerReferences", "finalizers"] {
        if metadata.get(field).is_some_and(is_empty) {
            metadata.remove(field);
        }
    }
}

/// The refusal of an object whose name is not the path's.
pub(super) fn name_mismatch(own: &str, path_name: &str) -> Status {
    Status::bad_request(format!("the name of the object ({own}) does not match the name on the URL ({path_name})"))
}
