//! Objects in Kubernetes' protobuf encoding, which `kubectl create namespace` and other typed clients send without asking.
//!
//! The wire numbers stand in `messages.txt`, one message a line, written by `scripts/protobuf-messages` from the published
//! definitions; nothing of it is parsed before a message is met. Answers are always JSON, which such clients accept.

mod message;
mod wire;

use sampan_core::status::Status;
use serde_json::{Map, Value};

use self::message::Message;
use self::wire::{Field, Reader};

/// What every such body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body is no object in protobuf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtobufError {
    /// It does not begin as it should.
    #[error("it does not begin with the magic bytes")]
    Magic,
    /// It ends in the middle, or its bytes are no field.
    #[error("it is cut off or malformed")]
    Malformed,
    /// A text is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// It nests deeper than objects do.
    #[error("it nests too deeply")]
    Depth,
    /// Nobody here knows the kind in this encoding.
    #[error("{0} is not known in protobuf; send JSON")]
    Unknown(String),
}

/// The object of a protobuf body as a JSON value.
///
/// # Errors
/// `BadRequest` where it is none, `UnsupportedMediaType` where its kind has no such encoding, as those that users define.
pub(super) fn value(body: &[u8]) -> Result<Value, Status> {
    decode(body).map_err(|error| match error {
        ProtobufError::Unknown(_) => Status::unsupported_media_type(error.to_string()),
        error => Status::bad_request(format!("failed to decode protobuf: {error}")),
    })
}

fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(envelope) {
        match field? {
            Field { number: 1, value: wire::Value::Bytes(meta) } => (api_version, kind) = type_of(meta)?,
            Field { number: 2, value: wire::Value::Bytes(bytes) } => raw = bytes,
            _ => {}
        }
    }
    let unknown = || ProtobufError::Unknown(format!("{kind} of {api_version}"));
    let message = Message::of_kind(&api_version, &kind).ok_or_else(unknown)?;
    let mut object = Map::new();
    message.read(raw, &mut object, 0)?;
    object.insert("apiVersion".to_owned(), Value::String(api_version));
    object.insert("kind".to_owned(), Value::String(kind));
    Ok(Value::Object(object))
}

fn type_of(meta: &[u8]) -> Result<(String, String), ProtobufError> {
    let (mut api_version, mut kind) = (String::new(), String::new());
    for field in Reader::new(meta) {
        match field? {
            Field { number: 1, value: wire::Value::Bytes(text) } => api_version = wire::text(text)?,
            Field { number: 2, value: wire::Value::Bytes(text) } => kind = wire::text(text)?,
            _ => {}
        }
    }
    Ok((api_version, kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn varint(number: usize) -> Vec<u8> {
        let low = u8::try_from(number & 0x7f).unwrap();
        if number < 128 { vec![low] } else { [vec![low | 0x80], varint(number >> 7)].concat() }
    }

    fn bytes(number: usize, content: &[u8]) -> Vec<u8> {
        [varint(number << 3 | 2), varint(content.len()), content.to_vec()].concat()
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &meta), bytes(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read_and_what_go_writes_of_absent_fields_is_left_out() {
        let metadata = [bytes(1, b"a"), bytes(2, b""), bytes(8, b"")].concat();
        let entry = [bytes(1, b"k"), bytes(2, b"v")].concat();
        let binary = [bytes(1, b"b"), bytes(2, &[0, 255])].concat();
        let raw = [bytes(1, &metadata), bytes(2, &entry), bytes(3, &binary), vec![4 << 3, 0]].concat();
        let expect = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"},
            "binaryData": {"b": "AP8="}, "immutable": false,
        });
        assert_eq!(value(&body("v1", "ConfigMap", &raw)).unwrap(), expect);
    }

    #[test]
    fn inlined_messages_times_quantities_and_either_or_are_read() {
        let source = bytes(2, &bytes(1, b"Memory"));
        let volume = [bytes(1, b"v"), bytes(2, &source)].concat();
        let limits = bytes(1, &[bytes(1, b"cpu"), bytes(2, &bytes(1, b"100m"))].concat());
        let action =
            bytes(2, &[bytes(1, b"/"), bytes(2, &[1 << 3, 1, 3 << 3 | 2, 4, b'h', b't', b't', b'p'])].concat());
        let probe = [bytes(1, &action), vec![2 << 3, 0]].concat();
        let container = [bytes(1, b"c"), bytes(8, &limits), bytes(10, &probe)].concat();
        let ephemeral = [bytes(1, &bytes(1, b"d")), bytes(2, b"c")].concat();
        let spec = [bytes(1, &volume), bytes(2, &container), vec![4 << 3, 0], bytes(34, &ephemeral)].concat();
        let metadata = bytes(8, &[1 << 3, 0x80, 0xa3, 0x05]);
        let raw = [bytes(1, &metadata), bytes(2, &spec)].concat();
        let expect = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": "1970-01-02T00:00:00Z"},
            "spec": {
                "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
                "containers": [{
                    "name": "c", "resources": {"limits": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}},
                }],
                "terminationGracePeriodSeconds": 0,
                "ephemeralContainers": [{"name": "d", "targetContainerName": "c"}],
            },
        });
        assert_eq!(value(&body("v1", "Pod", &raw)).unwrap(), expect);
    }

    #[test]
    fn a_review_keeps_its_lists_of_texts_by_name() {
        let values = |values: &[&[u8]]| values.iter().flat_map(|value| bytes(1, value)).collect::<Vec<_>>();
        let extra = |name: &[u8], value: &[u8]| bytes(5, &[bytes(1, name), bytes(2, value)].concat());
        let spec = [bytes(3, b"ann"), extra(b"scopes", &values(&[b"a", b"b"])), extra(b"none", b"")].concat();
        let expect = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": "ann", "extra": {"scopes": ["a", "b"], "none": []}},
        });
        let body = body("authorization.k8s.io/v1", "SubjectAccessReview", &bytes(2, &spec));
        assert_eq!(value(&body).unwrap(), expect);
    }

    #[test]
    fn a_schema_has_either_or_defaults_of_any_type_and_recursion() {
        let property = |name: &[u8], schema: &[u8]| bytes(29, &[bytes(1, name), bytes(2, schema)].concat());
        let list = [bytes(5, b"array"), bytes(24, &bytes(1, &bytes(5, b"string")))].concat();
        let flag = [bytes(5, b"boolean"), bytes(8, &bytes(1, b"false"))].concat();
        let closed = bytes(30, &[1 << 3, 0]);
        let open = bytes(30, &[vec![1 << 3, 1], bytes(2, &bytes(5, b"integer"))].concat());
        let rule = bytes(44, &bytes(1, b"true"));
        let schema = [property(b"list", &list), property(b"flag", &flag), property(b"closed", &closed), open, rule];
        let expect = json!({
            "properties": {
                "list": {"type": "array", "items": {"type": "string"}},
                "flag": {"type": "boolean", "default": false},
                "closed": {"additionalProperties": false},
            },
            "additionalProperties": {"type": "integer"},
            "x-kubernetes-validations": [{"rule": "true"}],
        });
        let version = bytes(4, &bytes(1, &schema.concat()));
        let spec = bytes(7, &version);
        let found = value(&body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &bytes(2, &spec))).unwrap();
        assert_eq!(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"], expect);
    }

    #[test]
    fn a_zero_that_json_has_is_kept_and_one_it_omits_is_not() {
        let priority = body("scheduling.k8s.io/v1", "PriorityClass", &[2 << 3, 0, 3 << 3, 0]);
        let expect = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 0});
        assert_eq!(value(&priority).unwrap(), expect);
    }

    #[test]
    fn a_kind_without_this_encoding_is_an_unsupported_media_type() {
        let refused = value(&body("example.com/v1", "Thing", b"")).unwrap_err();
        assert_eq!((refused.code, refused.reason), (415, "UnsupportedMediaType"));
        assert_eq!(refused.message, "Thing of example.com/v1 is not known in protobuf; send JSON");
    }

    #[test]
    fn what_is_no_object_is_refused_whatever_its_bytes() {
        assert_eq!(decode(b"k8s"), Err(ProtobufError::Magic));
        let whole = body("v1", "ConfigMap", &bytes(1, &bytes(1, b"name")));
        for end in 0..whole.len() {
            let cut = &whole[..end];
            assert!(decode(cut).is_err() || end > 4, "{cut:?}");
        }
        for byte in 0..=255_u8 {
            let _ = decode(&body("v1", "Pod", &[byte; 40]));
        }
    }
}
