//! Reading JSON values that have passed their schema.

use serde_json::Value;

/// The value at a JSON pointer. [`Value::pointer`] allocates for every field it passes; here most is asked of every object that is
/// written.
pub fn at<'v>(object: &'v Value, pointer: &str) -> Option<&'v Value> {
    if pointer.contains('~') {
        return object.pointer(pointer);
    }
    let mut fields = pointer.split('/');
    fields.next().filter(|before| before.is_empty())?;
    fields.try_fold(object, |value, field| match value {
        Value::Object(map) => map.get(field),
        Value::Array(list) => list.get(field.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The text at a JSON pointer; empty where there is none.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    at(object, pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at a JSON pointer; zero where there is none.
pub fn integer(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// Whether the value at a JSON pointer is `true`.
pub fn is_true(object: &Value, pointer: &str) -> bool {
    at(object, pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The items of the list at a JSON pointer.
pub fn items<'v>(object: &'v Value, pointer: &str) -> impl DoubleEndedIterator<Item = &'v Value> + ExactSizeIterator {
    at(object, pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter()
}

/// The entries of the map at a JSON pointer whose values are texts.
pub fn texts<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = (&'v str, &'v str)> {
    let map = at(object, pointer).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// How many entries the map or list at a JSON pointer has.
pub fn size(object: &Value, pointer: &str) -> usize {
    match at(object, pointer) {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pointer_leads_where_it_leads_elsewhere() {
        let object = json!({"a": {"b/c": [1, {"d": null}], "": 2}, "~": 3});
        let pointers = ["", "/", "/a", "/a/", "/a/b~1c/0", "/a/b~1c/1/d", "/a/b~1c/2", "/a/b/c", "a", "/~0", "/a/d/e"];
        for pointer in pointers {
            assert_eq!(at(&object, pointer), object.pointer(pointer), "{pointer}");
        }
        let object = json!({"list": [{"name": "x"}]});
        assert_eq!(at(&object, "/list/0/name"), Some(&json!("x")));
        assert_eq!(at(&object, "/list/x"), None);
    }
}
