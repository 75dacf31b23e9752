//! What an object's fields are, and how two objects differ, in the terms of field sets.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::field_set::{FieldSet, field_element, key_element, value_element};
use crate::schema::{ListSchema, ObjectSchema, Rest, Schema, Shape, Topology};

/// Whose set is made: which containers count as members beside what they hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// An applied configuration: list items and map entries.
    Applied,
    /// Fields added by another write: maps and lists as well.
    Added,
}

/// How an object differs from an older one.
#[derive(Default)]
pub(super) struct Difference {
    /// Fields that are new or have another value.
    pub(super) changed: FieldSet,
    /// Fields that are gone, with all below them.
    pub(super) removed: FieldSet,
}

/// A value several writers may share; all else is owned as a whole.
pub(super) enum Shared<'s, 'v> {
    Struct(&'s ObjectSchema, &'v Map<String, Value>),
    Free(&'v Map<String, Value>),
    List(&'s ListSchema, &'v [Value]),
    Whole,
}

impl<'s, 'v> Shared<'s, 'v> {
    pub(super) fn of(schema: &'s Schema, value: &'v Value) -> Self {
        match (schema.shape(), value) {
            (Shape::Object(object), Value::Object(fields)) if !object.atomic => Self::Struct(object, fields),
            (Shape::Any, Value::Object(fields)) => Self::Free(fields),
            (Shape::List(list), Value::Array(items)) if list.topology != Topology::Atomic => Self::List(list, items),
            _ => Self::Whole,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Struct(_, fields) | Self::Free(fields) => fields.is_empty(),
            Self::List(_, items) => items.is_empty(),
            Self::Whole => true,
        }
    }
}

/// The fields of `value`.
pub(super) fn fields_of(schema: &Schema, value: &Value, ownership: Ownership) -> FieldSet {
    let mut set = set_of(schema, value, ownership, false);
    if !set.has_children() {
        set = FieldSet::EMPTY;
    }
    set
}

fn set_of(schema: &Schema, value: &Value, ownership: Ownership, member: bool) -> FieldSet {
    let shared = Shared::of(schema, value);
    if shared.is_empty() {
        return FieldSet::leaf();
    }
    let children = match shared {
        Shared::Struct(object, fields) => fields
            .iter()
            .map(|(name, value)| {
                let member = is_member(object, name, ownership);
                (field_element(name), set_of(object.below(name), value, ownership, member))
            })
            .collect(),
        Shared::Free(fields) => fields
            .iter()
            .map(|(name, value)| (field_element(name), set_of(&Schema::Any, value, ownership, true)))
            .collect(),
        Shared::List(list, items) => {
            items.iter().map(|item| (item_element(list, item), set_of(&list.items, item, ownership, true))).collect()
        }
        Shared::Whole => Vec::new(),
    };
    FieldSet::new(member, children)
}

/// Whether what stands under `name` is a member of the set beside what it holds. A struct never is: it is there as soon as
/// one of its fields is. Nor is a list that must be there.
fn is_member(object: &ObjectSchema, name: &str, ownership: Ownership) -> bool {
    let Some(field) = object.field(name) else { return true };
    ownership == Ownership::Added && !field.required && !is_struct(&field.schema)
}

fn is_struct(schema: &Schema) -> bool {
    matches!(schema.shape(), Shape::Object(object) if !matches!(object.rest, Rest::Entries(_)))
}

/// How `new` differs from `old`, in one walk over both. Most of an object stays as it is: what is equal is walked through by nobody.
pub(super) fn compare(schema: &Schema, old: &Value, new: &Value) -> Difference {
    if old == new {
        return Difference::default();
    }
    match (Shared::of(schema, old), Shared::of(schema, new)) {
        (before, after) if before.is_empty() && after.is_empty() => {
            Difference { changed: FieldSet::leaf(), removed: FieldSet::EMPTY }
        }
        (Shared::Struct(object, before), Shared::Struct(_, after)) => compare_fields(Some(object), before, after),
        (Shared::Free(before), Shared::Free(after)) => compare_fields(None, before, after),
        (Shared::List(list, before), Shared::List(_, after)) => compare_lists(list, before, after),
        _ => Difference { changed: set_of(schema, new, Ownership::Added, true), removed: FieldSet::leaf() },
    }
}

/// Gathers the differences of an object's fields or a list's items.
#[derive(Default)]
struct Gathered {
    changed: Vec<(String, FieldSet)>,
    removed: Vec<(String, FieldSet)>,
}

impl Gathered {
    fn add(&mut self, element: impl FnOnce() -> String, difference: Difference) {
        let Difference { changed, removed } = difference;
        if changed.is_empty() && removed.is_empty() {
            return;
        }
        let element = element();
        if !removed.is_empty() {
            self.removed.push((element.clone(), removed));
        }
        if !changed.is_empty() {
            self.changed.push((element, changed));
        }
    }

    fn difference(self) -> Difference {
        Difference { changed: FieldSet::new(false, self.changed), removed: FieldSet::new(false, self.removed) }
    }
}

/// Both maps of serde_json are sorted or of a few fields; looking up by name keeps this independent of which it is.
fn compare_fields(object: Option<&ObjectSchema>, old: &Map<String, Value>, new: &Map<String, Value>) -> Difference {
    let below = |name: &str| object.map_or(&Schema::Any, |object| object.below(name));
    let mut gathered = Gathered::default();
    for (name, after) in new {
        if let Some(before) = old.get(name) {
            gathered.add(|| field_element(name), compare(below(name), before, after));
        } else {
            let member = object.is_none_or(|object| is_member(object, name, Ownership::Added));
            let added = set_of(below(name), after, Ownership::Added, member);
            gathered.changed.push((field_element(name), added));
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        gathered.removed.push((field_element(name), FieldSet::leaf()));
    }
    gathered.difference()
}

fn compare_lists(list: &ListSchema, old: &[Value], new: &[Value]) -> Difference {
    let mut before: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for item in old {
        before.entry(item_element(list, item)).or_default().push(item);
    }
    let mut after: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for item in new {
        after.entry(item_element(list, item)).or_default().push(item);
    }
    let mut gathered = Gathered::default();
    for (element, items) in &after {
        match (before.get(element).map(Vec::as_slice), items.as_slice()) {
            (Some([old]), [new]) => gathered.add(|| element.clone(), compare(&list.items, old, new)),
            (Some(old), new) if old == new => {}
            (_, items) => {
                let sets = items.iter().map(|item| set_of(&list.items, item, Ownership::Added, true));
                gathered.changed.extend(sets.map(|set| (element.clone(), set)));
            }
        }
    }
    for (element, _) in before.into_iter().filter(|(element, _)| !after.contains_key(element)) {
        gathered.removed.push((element, FieldSet::leaf()));
    }
    gathered.difference()
}

/// What tells an item of a shared list from the others.
pub(super) fn item_element(list: &ListSchema, item: &Value) -> String {
    match &list.topology {
        Topology::Map(keys) => {
            key_element(keys.iter().map(|key| (&**key, key_value(list, item, key).unwrap_or(&Value::Null))))
        }
        Topology::Set | Topology::Atomic => value_element(item),
    }
}

/// The value of a key of an item; the schema's default where it is absent.
pub(super) fn key_value<'a>(list: &'a ListSchema, item: &'a Value, key: &str) -> Option<&'a Value> {
    item.get(key).or_else(|| list.items.field(key)?.default.as_deref())
}

/// The elements of a list's items, in order.
pub(super) fn item_elements(list: &ListSchema, items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item_element(list, item)).collect()
}
