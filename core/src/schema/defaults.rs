//! Defaults a schema declares.

use serde_json::Value;

use super::{Rest, Schema, Shape};

/// Fills in the defaults the schema declares, from the outside in, so that a default may itself have fields with defaults.
///
/// Meant for custom resources: the built-in kinds have defaults no schema can tell, and their own code for them.
pub fn apply_defaults(schema: &Schema, value: &mut Value) {
    match (schema.shape(), value) {
        (Shape::Object(object), Value::Object(fields)) => {
            for field in object.fields() {
                if let (Some(default), false) = (&field.default, fields.contains_key(&*field.name)) {
                    fields.insert(field.name.as_ref().to_owned(), Value::clone(default));
                }
            }
            for (key, below) in fields.iter_mut() {
                match (object.field(key), &object.rest) {
                    (Some(field), _) => apply_defaults(&field.schema, below),
                    (None, Rest::Entries(entries)) => apply_defaults(entries, below),
                    (None, _) => {}
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                apply_defaults(&list.items, item);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_filled_in_at_every_depth() {
        let schema = Schema::from_open_api(
            r#"{"type":"object","properties":{
                "outer":{"type":"object","default":{},"properties":{"inner":{"type":"integer","default":3}}},
                "list":{"type":"array","items":{"type":"object","properties":{"on":{"type":"boolean","default":true}}}},
                "map":{"type":"object","additionalProperties":{"type":"object","properties":{"x":{"type":"string","default":"y"}}}}}}"#,
        )
        .unwrap();
        let mut value = json!({"list": [{}, {"on": false}], "map": {"a": {}}});
        apply_defaults(&schema, &mut value);
        assert_eq!(
            value,
            json!({"outer": {"inner": 3}, "list": [{"on": true}, {"on": false}], "map": {"a": {"x": "y"}}})
        );
    }
}
