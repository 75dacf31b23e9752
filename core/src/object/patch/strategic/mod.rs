//! Strategic merge patch: a merge patch that knows which lists merge, by which key, and takes directives.
//!
//! The directives, as in "Strategic Merge Patch" of the Kubernetes contributors' documents:
//!
//! | directive | where | meaning |
//! | --- | --- | --- |
//! | `$patch: replace`, `delete`, `merge` | object, item | take the patch alone, remove, or merge (the usual) |
//! | `$patch: replace` as an item | merging list | the other items replace the list |
//! | `$deleteFromPrimitiveList/<field>` | object | these values leave the list |
//! | `$setElementOrder/<field>` | object | the order of the merged list |
//! | `$retainKeys` | object | all other fields go |

mod lists;
mod order;

use serde_json::{Map, Value};

use crate::schema::{PatchStrategy, Schema};

type Fields = Map<String, Value>;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Why a strategic merge patch cannot be carried out. All are faults of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// The patch is no object.
    #[error("a strategic merge patch must be an object")]
    Form,
    /// A `$patch` there is not.
    #[error("unknown patch type {0:?}: expected \"replace\", \"delete\" or \"merge\"")]
    Directive(String),
    /// A directive holds a value of another type.
    #[error("{directive} must hold {expected}")]
    DirectiveValue {
        /// The directive with its field.
        directive: String,
        /// What it must hold.
        expected: &'static str,
    },
    /// An item of a merging list lacks the field it is found by.
    #[error("an item of {field:?} does not contain the merge key {key:?}")]
    MergeKey {
        /// The list.
        field: String,
        /// The field that is missing.
        key: String,
    },
    /// `$retainKeys` does not name a field the patch sets.
    #[error("the patch sets {0:?}, which is not in $retainKeys")]
    NotRetained(String),
}

/// Carries out a strategic merge patch on an object of the schema.
///
/// # Errors
/// When the patch is malformed; the object is then half patched and must be thrown away.
pub fn strategic_merge(schema: &Schema, object: &mut Value, patch: Value) -> Result<(), StrategicError> {
    match (object, patch) {
        (Value::Object(fields), Value::Object(patch)) => merge_fields(schema, fields, patch),
        _ => Err(StrategicError::Form),
    }
}

/// What the `$patch` of an object asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn take_directive(patch: &mut Fields) -> Result<Directive, StrategicError> {
    match patch.remove(DIRECTIVE) {
        None => Ok(Directive::Merge),
        Some(Value::String(name)) => match name.as_str() {
            "merge" => Ok(Directive::Merge),
            "replace" => Ok(Directive::Replace),
            "delete" => Ok(Directive::Delete),
            _ => Err(StrategicError::Directive(name)),
        },
        Some(other) => Err(StrategicError::Directive(other.to_string())),
    }
}

fn merge_fields(schema: &Schema, fields: &mut Fields, mut patch: Fields) -> Result<(), StrategicError> {
    match take_directive(&mut patch)? {
        Directive::Merge => {}
        Directive::Replace => {
            *fields = patch;
            return Ok(());
        }
        Directive::Delete => {
            fields.clear();
            return Ok(());
        }
    }
    retain_keys(fields, &mut patch)?;
    order::merge_ordered_lists(schema, fields, &mut patch)?;
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_FROM_LIST) {
            lists::delete_values(fields, name, value)?;
        } else if value.is_null() {
            fields.remove(&key);
        } else {
            merge_field(schema, fields, key, value)?;
        }
    }
    Ok(())
}

fn retain_keys(fields: &mut Fields, patch: &mut Fields) -> Result<(), StrategicError> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let names = strings(&retained)
        .ok_or_else(|| StrategicError::DirectiveValue { directive: RETAIN_KEYS.into(), expected: "a list of names" })?;
    let set = patch.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
    if let Some((key, _)) = set.into_iter().find(|(key, _)| !names.contains(&key.as_str())) {
        return Err(StrategicError::NotRetained(key.clone()));
    }
    fields.retain(|key, _| names.contains(&key.as_str()));
    Ok(())
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn merge_field(schema: &Schema, fields: &mut Fields, key: String, patch: Value) -> Result<(), StrategicError> {
    let strategy = schema.field(&key).map(|field| field.patch_strategy).unwrap_or_default();
    match (fields.get_mut(&key), patch) {
        (Some(Value::Object(old)), Value::Object(patch)) if strategy != PatchStrategy::Replace => {
            merge_fields(schema.below(&key), old, patch)
        }
        (Some(Value::Array(old)), Value::Array(patch)) => lists::merge_list(schema, &key, old, patch),
        (_, patch) => {
            if let Some(value) = without_directives(patch)? {
                fields.insert(key, value);
            }
            Ok(())
        }
    }
}

/// What a patch leaves where there was nothing: itself, without nulls, directives and what they delete.
fn without_directives(patch: Value) -> Result<Option<Value>, StrategicError> {
    match patch {
        Value::Object(mut fields) => {
            let directive = take_directive(&mut fields)?;
            if directive == Directive::Delete {
                return Ok(None);
            }
            fields.remove(RETAIN_KEYS);
            let mut out = Fields::new();
            for (key, value) in fields {
                if value.is_null() || key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ORDER) {
                    continue;
                }
                if let Some(value) = without_directives(value)? {
                    out.insert(key, value);
                }
            }
            Ok(Some(Value::Object(out)))
        }
        Value::Array(items) => {
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                let only_directive =
                    item.as_object().is_some_and(|item| item.len() == 1 && item.contains_key(DIRECTIVE));
                match without_directives(item)? {
                    Some(item) if !only_directive => out.push(item),
                    _ => {}
                }
            }
            Ok(Some(Value::Array(out)))
        }
        other => Ok(Some(other)),
    }
}

#[cfg(test)]
mod tests;
