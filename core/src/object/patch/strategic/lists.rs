//! Lists that merge: of objects, by a key, and of single values.

use serde_json::Value;

use super::order::Places;
use super::{DELETE_FROM_LIST, Directive, Fields, StrategicError, merge_fields, take_directive, without_directives};
use crate::schema::{PatchStrategy, Schema, Shape};

/// Merges `patch` into the list that the field `name` of `schema` holds. What the patch names stands in its order, and before
/// what only the list had, but for what stood in front of it there: so that something new comes first, as in Kubernetes.
pub(super) fn merge_list(
    schema: &Schema,
    name: &str,
    list: &mut Vec<Value>,
    patch: Vec<Value>,
) -> Result<(), StrategicError> {
    let field = schema.field(name);
    if field.is_none_or(|field| field.patch_strategy != PatchStrategy::Merge) {
        *list = without_directives(Value::Array(patch))?.and_then(into_items).unwrap_or_default();
        return Ok(());
    }
    let key = field.and_then(|field| field.patch_merge_key.as_deref());
    let (before, order) = (list.clone(), patch.clone());
    match key {
        Some(key) => KeyedList { name, key, items: items_of(schema.below(name)) }.merge(list, patch)?,
        None => add_values(list, patch),
    }
    Places { key, order: &order, before: &before }.arrange(list);
    Ok(())
}

fn into_items(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn items_of(list: &Schema) -> &Schema {
    match list.shape() {
        Shape::List(list) => &list.items,
        _ => &Schema::Any,
    }
}

/// A list of objects that are found by one of their fields.
struct KeyedList<'a> {
    name: &'a str,
    key: &'a str,
    items: &'a Schema,
}

impl KeyedList<'_> {
    fn merge(&self, list: &mut Vec<Value>, patch: Vec<Value>) -> Result<(), StrategicError> {
        let (mut changes, mut replaces) = (Vec::with_capacity(patch.len()), false);
        for item in patch {
            let Value::Object(mut item) = item else {
                return Err(self.without_key());
            };
            let directive = take_directive(&mut item)?;
            if directive == Directive::Replace && !item.contains_key(self.key) {
                replaces = true;
            } else {
                changes.push((directive, item));
            }
        }
        if replaces {
            list.clear();
        }
        changes.into_iter().try_for_each(|(directive, item)| self.change(list, directive, item))
    }

    fn change(&self, list: &mut Vec<Value>, directive: Directive, patch: Fields) -> Result<(), StrategicError> {
        let value = patch.get(self.key).ok_or_else(|| self.without_key())?;
        let is_meant = |item: &Value| item.get(self.key) == Some(value);
        if directive == Directive::Delete {
            list.retain(|item| !is_meant(item));
            return Ok(());
        }
        match list.iter().position(is_meant).and_then(|place| list.get_mut(place)) {
            Some(item) if directive == Directive::Replace => *item = Value::Object(patch),
            Some(Value::Object(item)) => merge_fields(self.items, item, patch)?,
            _ => list.extend(without_directives(Value::Object(patch))?),
        }
        Ok(())
    }

    fn without_key(&self) -> StrategicError {
        StrategicError::MergeKey { field: self.name.to_owned(), key: self.key.to_owned() }
    }
}

/// A merging list of single values holds each once.
fn add_values(list: &mut Vec<Value>, patch: Vec<Value>) {
    for value in patch {
        if !list.contains(&value) {
            list.push(value);
        }
    }
}

/// Carries out `$deleteFromPrimitiveList/<name>`.
pub(super) fn delete_values(fields: &mut Fields, name: &str, values: Value) -> Result<(), StrategicError> {
    let Value::Array(values) = values else {
        let directive = format!("{DELETE_FROM_LIST}{name}");
        return Err(StrategicError::DirectiveValue { directive, expected: "a list" });
    };
    if let Some(Value::Array(list)) = fields.get_mut(name) {
        list.retain(|value| !values.contains(value));
    }
    Ok(())
}
