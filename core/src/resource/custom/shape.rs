//! What is kept of a custom object, and what stands for what is missing.

use serde_json::{Map, Value};

use super::schema::{Additional, Structural};
use crate::object::FieldPath;

/// The fields every object of Kubernetes has.
const EVERY_OBJECT: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops the fields the schema does not know, and tells which they were.
pub fn prune(schema: &Structural, value: &mut Value) -> Vec<FieldPath> {
    let mut dropped = Vec::new();
    if let Value::Object(fields) = value {
        prune_fields(schema, fields, true, &FieldPath::root(), &mut dropped);
    }
    dropped
}

fn prune_value(schema: &Structural, value: &mut Value, path: &FieldPath, dropped: &mut Vec<FieldPath>) {
    match value {
        Value::Object(fields) => prune_fields(schema, fields, schema.embedded_resource, path, dropped),
        Value::Array(items) => {
            let Some(of_items) = &schema.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                prune_value(of_items, item, &path.index(index), dropped);
            }
        }
        _ => {}
    }
}

fn prune_fields(
    schema: &Structural,
    fields: &mut Map<String, Value>,
    is_object_of_kubernetes: bool,
    path: &FieldPath,
    dropped: &mut Vec<FieldPath>,
) {
    fields.retain(|name, _| {
        let is_known = schema.below(name).is_some()
            || schema.keeps_others()
            || (is_object_of_kubernetes && EVERY_OBJECT.contains(&name.as_str()));
        if !is_known {
            dropped.push(path.child(name.clone()));
        }
        is_known
    });
    for (name, below) in fields.iter_mut() {
        if is_object_of_kubernetes && EVERY_OBJECT.contains(&name.as_str()) {
            continue;
        }
        if let Some(schema) = schema.below(name) {
            prune_value(schema, below, &path.child(name.clone()), dropped);
        }
    }
}

/// Fills in the defaults from the outside in, so that a default may itself have fields with defaults. A null that is no
/// value of its field is as good as missing where there is a default, and goes where there is none.
pub fn fill_defaults(schema: &Structural, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, below) in &schema.properties {
                fill_field(fields, name, below);
            }
            for (name, value) in fields.iter_mut() {
                if let Some(below) = schema.below(name) {
                    fill_entry(schema, name, below, value);
                    fill_defaults(below, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(of_items) = &schema.items else { return };
            for item in items {
                if let (Value::Null, Some(default), false) = (&*item, &of_items.default, of_items.nullable) {
                    *item = default.clone();
                }
                fill_defaults(of_items, item);
            }
        }
        _ => {}
    }
}

fn fill_field(fields: &mut Map<String, Value>, name: &str, schema: &Structural) {
    match (fields.get(name), &schema.default) {
        (Some(Value::Null), None) if !schema.nullable => drop(fields.remove(name)),
        (Some(Value::Null), Some(default)) if !schema.nullable => drop(fields.insert(name.to_owned(), default.clone())),
        (None, Some(default)) => drop(fields.insert(name.to_owned(), default.clone())),
        _ => {}
    }
}

fn fill_entry(schema: &Structural, name: &str, of_entry: &Structural, value: &mut Value) {
    let is_entry =
        !schema.properties.contains_key(name) && matches!(schema.additional_properties, Some(Additional::Entries(_)));
    if let (true, Value::Null, Some(default), false) = (is_entry, &*value, &of_entry.default, of_entry.nullable) {
        *value = default.clone();
    }
}
