//! Filling in what the user left out, on JSON values.
//!
//! Kubernetes treats an empty text, and of some numbers zero, as left out; each rule here says which.

use serde_json::{Map, Value};

/// Sets a field that is missing, null or an empty text.
pub fn fill(object: &mut Value, field: &str, default: impl Into<Value>) {
    let Value::Object(fields) = object else { return };
    if is_left_out(fields.get(field)) {
        fields.insert(field.to_owned(), default.into());
    }
}

/// Sets a number that is missing or zero.
pub fn fill_zero(object: &mut Value, field: &str, default: i64) {
    if object.get(field).and_then(Value::as_i64).is_none_or(|number| number == 0) {
        set(object, field, default);
    }
}

/// Sets a field.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Value::Object(fields) = object {
        fields.insert(field.to_owned(), value.into());
    }
}

/// Removes a field.
pub fn clear(object: &mut Value, field: &str) {
    if let Value::Object(fields) = object {
        fields.remove(field);
    }
}

/// The field, made an empty object where it is missing; `None` where it is something else.
pub fn object_at<'v>(object: &'v mut Value, field: &str) -> Option<&'v mut Value> {
    fill(object, field, Value::Object(Map::new()));
    object.get_mut(field).filter(|value| value.is_object())
}

/// The field where it is an object.
pub fn present<'v>(object: &'v mut Value, field: &str) -> Option<&'v mut Value> {
    object.get_mut(field).filter(|value| value.is_object())
}

/// The items of a list; none where it is missing.
pub fn items_mut<'v>(object: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn is_left_out(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_user_wrote_stays() {
        let mut object = json!({"a": "x", "b": "", "c": null, "d": 0, "e": false});
        for field in ["a", "b", "c", "e", "f"] {
            fill(&mut object, field, "filled");
        }
        fill_zero(&mut object, "d", 7);
        let expected = json!({"a": "x", "b": "filled", "c": "filled", "d": 7, "e": false, "f": "filled"});
        assert_eq!(object, expected);
    }
}
