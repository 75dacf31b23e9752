//! The object after an apply: the live one with the configuration merged in and what was let go of taken out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::ApplyError;
use super::field_set::FieldSet;
use super::walk::{Shared, item_element, item_elements, key_value};
use crate::object::FieldPath;
use crate::schema::{ListSchema, Schema, Shape, Topology};

/// Checks that each item of a shared list can be told from the others.
pub(super) fn check_items(schema: &Schema, value: &Value, path: &FieldPath) -> Result<(), ApplyError> {
    match Shared::of(schema, value) {
        Shared::Struct(object, fields) => fields
            .iter()
            .try_for_each(|(name, value)| check_items(object.below(name), value, &path.child(name.clone()))),
        Shared::List(list, items) => check_list(list, items, path),
        Shared::Free(_) | Shared::Whole => Ok(()),
    }
}

fn check_list(list: &ListSchema, items: &[Value], path: &FieldPath) -> Result<(), ApplyError> {
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        if let Topology::Map(keys) = &list.topology
            && let Some(key) = keys.iter().find(|key| key_value(list, item, key).is_none())
        {
            return Err(ApplyError::MissingKey { path, key: key.to_string() });
        }
        let element = item_element(list, item);
        let shown = element.get(2..).unwrap_or_default().to_owned();
        if !seen.insert(element) {
            return Err(ApplyError::DuplicateItem { path, key: shown });
        }
        check_items(&list.items, item, &path)?;
    }
    Ok(())
}

/// Merges `applied` into `live`.
pub(super) fn merge(schema: &Schema, live: &mut Value, applied: &Value) {
    match (schema.shape(), live, applied) {
        (Shape::Object(object), Value::Object(live), Value::Object(applied)) if !object.atomic => {
            merge_fields(schema, live, applied);
        }
        (Shape::Any, Value::Object(live), Value::Object(applied)) => merge_fields(schema, live, applied),
        (Shape::List(list), Value::Array(live), Value::Array(applied)) if list.topology != Topology::Atomic => {
            merge_lists(list, live, applied);
        }
        (_, live, applied) => applied.clone_into(live),
    }
}

fn merge_fields(schema: &Schema, live: &mut Map<String, Value>, applied: &Map<String, Value>) {
    for (name, value) in applied {
        match live.get_mut(name) {
            Some(live) => merge(schema.below(name), live, value),
            None => {
                live.insert(name.clone(), value.clone());
            }
        }
    }
}

/// The applied items in their order; the live ones between them keep their place before the item they stood before.
fn merge_lists(list: &ListSchema, live: &mut Vec<Value>, applied: &[Value]) {
    let wanted = item_elements(list, applied);
    let shared: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let elements = item_elements(list, live);
    let mut old: Vec<Option<Value>> = std::mem::take(live).into_iter().map(Some).collect();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, element) in elements.iter().enumerate() {
        places.entry(element).or_insert(place);
    }
    let mut cursor = 0;
    let mut out = Vec::with_capacity(old.len().max(applied.len()));
    for (element, item) in wanted.iter().zip(applied) {
        let place = places.get(element.as_str()).copied();
        while cursor < old.len() {
            let only_live = elements.get(cursor).is_some_and(|element| !shared.contains(element.as_str()));
            if !(only_live || place.is_some_and(|place| cursor < place)) {
                break;
            }
            if only_live {
                out.extend(old.get_mut(cursor).and_then(Option::take));
            }
            cursor += 1;
        }
        match place.and_then(|place| old.get_mut(place)).and_then(Option::take) {
            Some(mut live) => {
                merge(&list.items, &mut live, item);
                out.push(live);
            }
            None => out.push(item.clone()),
        }
        cursor = cursor.max(place.map_or(0, |place| place + 1));
    }
    let rest = old.into_iter().zip(&elements).filter(|(_, element)| !shared.contains(element.as_str()));
    out.extend(rest.filter_map(|(item, _)| item));
    *live = out;
}

/// Takes out what the manager applied `last` time and nobody owns now.
///
/// A field of a struct is owned as soon as anything in it is; a map's entry or a list's item only when it is a member.
pub(super) fn prune(schema: &Schema, value: &mut Value, last: &FieldSet, owned: &FieldSet) {
    if !last.has_children() {
        return;
    }
    match (schema.shape(), value) {
        (Shape::Object(object), Value::Object(fields)) if !object.atomic => {
            let is_field = |name: &str| object.field(name).is_some();
            prune_fields(schema, is_field, fields, last, owned);
        }
        (Shape::Any, Value::Object(fields)) => prune_fields(schema, |_| false, fields, last, owned),
        (Shape::List(list), Value::Array(items)) if list.topology != Topology::Atomic => {
            items.retain_mut(|item| {
                let element = item_element(list, item);
                let (last, owned) = (last.child(&element), owned.child(&element));
                let before = is_filled(item);
                !is_let_go(last, owned, false) && {
                    prune_below(&list.items, item, last, owned);
                    is_filled(item) == before
                }
            });
        }
        _ => {}
    }
}

fn prune_fields(
    schema: &Schema,
    is_field: impl Fn(&str) -> bool,
    fields: &mut Map<String, Value>,
    last: &FieldSet,
    owned: &FieldSet,
) {
    fields.retain(|name, value| {
        let (last, owned) = (last.field(name), owned.field(name));
        if is_let_go(last, owned, is_field(name)) {
            return false;
        }
        let before = is_filled(value);
        prune_below(schema.below(name), value, last, owned);
        is_filled(value) == before
    });
}

fn is_let_go(last: Option<&FieldSet>, owned: Option<&FieldSet>, is_field: bool) -> bool {
    let counts = |set: Option<&FieldSet>| set.is_some_and(|set| is_field || set.is_member());
    counts(last) && !counts(owned)
}

fn prune_below(schema: &Schema, value: &mut Value, last: Option<&FieldSet>, owned: Option<&FieldSet>) {
    if let Some(last) = last {
        prune(schema, value, last, owned.unwrap_or(&FieldSet::EMPTY));
    }
}

/// A container that loses all it holds goes too.
fn is_filled(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}
