//! `$setElementOrder`: the order of a merged list.

use serde_json::Value;

use super::{DELETE_FROM_LIST, Fields, SET_ORDER, StrategicError, lists, merge_field};
use crate::schema::Schema;

/// Merges the lists whose order the patch tells, and takes them and their directives out of it.
pub(super) fn merge_ordered_lists(
    schema: &Schema,
    fields: &mut Fields,
    patch: &mut Fields,
) -> Result<(), StrategicError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let name = directive.strip_prefix(SET_ORDER).unwrap_or_default();
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(StrategicError::DirectiveValue { directive, expected: "a list" });
        };
        let before = fields.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        if let Some(values) = patch.remove(&format!("{DELETE_FROM_LIST}{name}")) {
            lists::delete_values(fields, name, values)?;
        }
        match patch.remove(name) {
            Some(Value::Null) => {
                fields.remove(name);
            }
            Some(change) => merge_field(schema, fields, name.to_owned(), change)?,
            None => {}
        }
        if let Some(Value::Array(merged)) = fields.get_mut(name) {
            let key = schema.field(name).and_then(|field| field.patch_merge_key.as_deref());
            let places = Places { key, order: &order, before: &before };
            places.arrange(merged);
        }
    }
    Ok(())
}

/// Where items belong: those the patch knows in its order, those only the server knows between them, close to the items
/// they stood beside.
pub(super) struct Places<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) order: &'a [Value],
    pub(super) before: &'a [Value],
}

impl Places<'_> {
    fn same(&self, a: &Value, b: &Value) -> bool {
        match self.key {
            Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
            None => a == b,
        }
    }

    fn place_in(&self, list: &[Value], item: &Value) -> Option<usize> {
        list.iter().position(|other| self.same(other, item))
    }

    fn stood_before(&self, item: &Value, other: &Value) -> bool {
        let places = self.place_in(self.before, item).zip(self.place_in(self.before, other));
        places.is_some_and(|(item, other)| item < other)
    }

    pub(super) fn arrange(&self, merged: &mut Vec<Value>) {
        let (mut known, servers): (Vec<Value>, Vec<Value>) =
            std::mem::take(merged).into_iter().partition(|item| self.place_in(self.order, item).is_some());
        known.sort_by_key(|item| self.place_in(self.order, item));
        let mut known = known.into_iter().peekable();
        for item in servers {
            // An item goes before the first one that stood behind it; both orders are kept whatever the old list says.
            while known.peek().is_some_and(|next| !self.stood_before(&item, next)) {
                merged.extend(known.next());
            }
            merged.push(item);
        }
        merged.extend(known);
    }
}
