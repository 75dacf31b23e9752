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
    #[error("{0} is not known in this encoding; send JSON")]
    Unknown(String),
}

/// The object of a protobuf body as a JSON value.
///
/// # Errors
/// `BadRequest` where it is none.
pub(super) fn value(body: &[u8]) -> Result<Value, Status> {
    decode(body).map_err(|error| Status::bad_request(format!("failed to decode protobuf: {error}")))
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

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        out.extend_from_slice(content);
        out
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
        let spec = [bytes(1, &volume), bytes(2, &container), vec![4 << 3, 0]].concat();
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
            },
        });
        assert_eq!(value(&body("v1", "Pod", &raw)).unwrap(), expect);
    }

    #[test]
    fn what_is_no_object_is_refused_whatever_its_bytes() {
        assert_eq!(decode(b"k8s"), Err(ProtobufError::Magic));
        assert_eq!(
            decode(&body("example.com/v1", "Thing", b"")).unwrap_err().to_string().split(';').next(),
            Some("Thing of example.com/v1 is not known in this encoding")
        );
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
