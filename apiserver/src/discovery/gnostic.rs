//! OpenAPI v2 in the protobuf encoding that client-go asks for and reads nothing else in: the messages `openapi.v2.*` of
//! `github.com/google/gnostic-models`.

use serde_json::{Map, Value};

/// The media type of answers.
pub(super) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What client-go asks for: no valid media type, so that it must not stand in an answer.
pub(super) const ASKED: [&str; 2] = [MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"];

const VARINT: u8 = 0;
const BYTES: u8 = 2;

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn tag(&mut self, number: u32, kind: u8) {
        self.varint(u64::from(number) << 3 | u64::from(kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, number: u32, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn message(&mut self, number: u32, message: &Self) {
        self.bytes(number, &message.0);
    }

    fn flag(&mut self, number: u32, value: bool) {
        self.tag(number, VARINT);
        self.varint(u64::from(value));
    }
}

/// An OpenAPI v2 document without paths.
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut info = Message::default();
    info.text(1, document.pointer("/info/title"));
    info.text(2, document.pointer("/info/version"));
    let mut out = Message::default();
    out.text(1, document.get("swagger"));
    out.message(2, &info);
    out.message(8, &Message::default());
    out.message(9, &named_schemas(document.get("definitions")));
    out.0
}

/// `Definitions` or `Properties`: both hold schemas by name.
fn named_schemas(schemas: Option<&Value>) -> Message {
    let mut out = Message::default();
    for (name, value) in schemas.and_then(Value::as_object).into_iter().flatten() {
        let mut named = Message::default();
        named.bytes(1, name.as_bytes());
        named.message(2, &schema(value));
        out.message(1, &named);
    }
    out
}

fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    let Some(fields) = value.as_object() else { return out };
    for (number, name) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        out.text(number, fields.get(name));
    }
    if let Some(default) = fields.get("default") {
        out.message(5, &any(default));
    }
    for required in fields.get("required").and_then(Value::as_array).into_iter().flatten() {
        out.text(19, Some(required));
    }
    for value in fields.get("enum").and_then(Value::as_array).into_iter().flatten() {
        out.message(20, &any(value));
    }
    if let Some(rest) = fields.get("additionalProperties") {
        out.message(21, &additional(rest));
    }
    if let Some(kind) = fields.get("type") {
        let mut types = Message::default();
        types.text(1, Some(kind));
        out.message(22, &types);
    }
    if let Some(items) = fields.get("items") {
        let mut each = Message::default();
        each.message(1, &schema(items));
        out.message(23, &each);
    }
    if let Some(properties) = fields.get("properties") {
        out.message(25, &named_schemas(Some(properties)));
    }
    extensions(&mut out, fields);
    out
}

/// `AdditionalPropertiesItem`: a schema, or whether there may be any.
fn additional(rest: &Value) -> Message {
    let mut out = Message::default();
    match rest.as_bool() {
        Some(allowed) => out.flag(2, allowed),
        None => out.message(1, &schema(rest)),
    }
    out
}

fn extensions(out: &mut Message, fields: &Map<String, Value>) {
    for (name, value) in fields.iter().filter(|(name, _)| name.starts_with("x-")) {
        let mut named = Message::default();
        named.bytes(1, name.as_bytes());
        named.message(2, &any(value));
        out.message(31, &named);
    }
}

/// `Any` holds its value as YAML, of which JSON is a part.
fn any(value: &Value) -> Message {
    let mut out = Message::default();
    out.bytes(2, value.to_string().as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_its_fields_by_number_with_their_lengths() {
        let value = json!({"swagger": "2.0", "info": {"title": "T"}, "definitions": {"a": {"type": "object"}}});
        let expect: &[u8] = &[
            0x0a, 3, b'2', b'.', b'0', // swagger
            0x12, 3, 0x0a, 1, b'T', // info
            0x42, 0, // paths
            0x4a, 18, 0x0a, 16, 0x0a, 1, b'a', 0x12, 11, // definitions, one named, its schema
            0xb2, 0x01, 8, 0x0a, 6, b'o', b'b', b'j', b'e', b'c', b't', // type
        ];
        assert_eq!(document(&value), expect);
    }

    #[test]
    fn lengths_over_a_byte_are_written_in_several() {
        let mut message = Message::default();
        message.bytes(1, &[7; 300]);
        assert_eq!(message.0.get(..4), Some([0x0a, 0xac, 0x02, 7].as_slice()));
    }
}
