//! JSON patch (RFC 6902) and JSON merge patch (RFC 7386).

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value;

/// The most operations one patch may have, as in Kubernetes.
const MAX_OPERATIONS: usize = 10_000;
/// The most a patch may copy, in bytes, as in Kubernetes: a few copies of copies would otherwise fill the memory.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;
/// How deep copies and moves may nest values, far above what any schema takes and far below what ends a stack.
const MAX_DEPTH: usize = 256;

/// A JSON patch: operations carried out in order, all or none.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPatch(json_patch::Patch);

/// Why a JSON patch cannot be read or carried out.
#[derive(Debug, thiserror::Error)]
pub enum JsonPatchError {
    /// The text is no JSON patch: a bad request.
    #[error("error decoding patch: {0}")]
    Form(#[from] serde_json::Error),
    /// It has too many operations: too large a request.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooManyOperations(usize),
    /// It copies too much: too large a request.
    #[error("the patch copies more than {MAX_COPIED_BYTES} bytes")]
    TooMuchCopied,
    /// It nests values too deeply: the object cannot be processed.
    #[error("the patch nests values more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// A `test` found another value: the object cannot be processed.
    #[error("testing value {path} failed")]
    TestFailed {
        /// What was tested.
        path: String,
    },
    /// An operation does not fit the object: it cannot be processed.
    #[error("operation {operation} at {path:?} failed: {reason}")]
    Operation {
        /// Which one, from 0.
        operation: usize,
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
}

impl JsonPatchError {
    /// The HTTP code it is answered with.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Form(_) => 400,
            Self::TooManyOperations(_) | Self::TooMuchCopied => 413,
            Self::TooDeep | Self::TestFailed { .. } | Self::Operation { .. } => 422,
        }
    }
}

impl JsonPatch {
    /// Reads a patch.
    ///
    /// # Errors
    /// When the bytes are no list of operations, or one too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonPatchError> {
        Self::checked(serde_json::from_slice(bytes)?)
    }

    /// Reads a patch that is JSON already.
    ///
    /// # Errors
    /// When the value is no list of operations, or one too long.
    pub fn from_value(value: Value) -> Result<Self, JsonPatchError> {
        Self::checked(serde_json::from_value(value)?)
    }

    fn checked(patch: json_patch::Patch) -> Result<Self, JsonPatchError> {
        match patch.0.len() {
            many if many > MAX_OPERATIONS => Err(JsonPatchError::TooManyOperations(many)),
            _ => Ok(Self(patch)),
        }
    }

    /// The object after the patch.
    ///
    /// # Errors
    /// When an operation fails; nothing is changed then.
    pub fn apply(&self, object: &Value) -> Result<Value, JsonPatchError> {
        let mut patched = object.clone();
        let mut copied = 0;
        for (number, operation) in self.0.iter().enumerate() {
            let (from, times) = match operation {
                PatchOperation::Copy(copy) => (Some(&copy.from), 1),
                PatchOperation::Move(moved) => (Some(&moved.from), 0),
                _ => (None, 0),
            };
            let source = from.and_then(|from| from.resolve(&patched).ok());
            copied += source.map_or(0, size) * times;
            if copied > MAX_COPIED_BYTES {
                return Err(JsonPatchError::TooMuchCopied);
            }
            if operation.path().count() + source.map_or(0, depth) > MAX_DEPTH {
                return Err(JsonPatchError::TooDeep);
            }
            if finds_nothing(operation, &patched) {
                continue;
            }
            json_patch::patch(&mut patched, std::slice::from_ref(operation)).map_err(|error| failed(number, &error))?;
        }
        Ok(patched)
    }
}

/// Whether it is a `test` for null of a field that is not there. It passes, as in Kubernetes: so clients make sure that they are the
/// first to set one.
fn finds_nothing(operation: &PatchOperation, object: &Value) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let Some((parent, field)) = test.path.split_back().filter(|_| test.value.is_null()) else { return false };
    let fields = parent.resolve(object).ok().and_then(Value::as_object);
    fields.is_some_and(|fields| !fields.contains_key(&*field.decoded()))
}

fn failed(operation: usize, error: &json_patch::PatchError) -> JsonPatchError {
    let path = error.path.to_string();
    match error.kind {
        PatchErrorKind::TestFailed => JsonPatchError::TestFailed { path },
        _ => JsonPatchError::Operation { operation, path, reason: error.kind.to_string() },
    }
}

/// About the bytes of a value's JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(depth).max().unwrap_or(0) + 1,
        Value::Object(fields) => fields.values().map(depth).max().unwrap_or(0) + 1,
        _ => 0,
    }
}

/// Carries out a JSON merge patch: objects merge, null removes, all else replaces.
pub fn merge(object: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *object = patch;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = object else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(object: &Value, patch: Value) -> Result<Value, JsonPatchError> {
        JsonPatch::from_value(patch)?.apply(object)
    }

    #[test]
    fn operations_are_carried_out_in_order() {
        let object = json!({"spec": {"list": [1, 2], "a/b": 1}});
        let patch = json!([
            {"op": "test", "path": "/spec/list/0", "value": 1},
            {"op": "add", "path": "/spec/list/-", "value": 3},
            {"op": "remove", "path": "/spec/list/0"},
            {"op": "replace", "path": "/spec/a~1b", "value": 2},
            {"op": "copy", "from": "/spec/list", "path": "/spec/copy"},
            {"op": "move", "from": "/spec/list", "path": "/spec/moved"},
        ]);
        let expected = json!({"spec": {"a/b": 2, "copy": [2, 3], "moved": [2, 3]}});
        assert_eq!(patched(&object, patch).unwrap(), expected);
    }

    #[test]
    fn a_failed_operation_tells_which_and_how_to_answer() {
        let object = json!({"spec": {}});
        let error = patched(&object, json!([{"op": "test", "path": "/spec", "value": 1}])).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (422, "testing value /spec failed"));
        let error = patched(&object, json!([{"op": "remove", "path": "/spec/x"}])).unwrap_err();
        assert_eq!(error.code(), 422);
        for form in [json!({}), json!([{"op": "jump", "path": "/"}]), json!([{"op": "add"}])] {
            assert_eq!(patched(&object, form).unwrap_err().code(), 400);
        }
        let many = vec![json!({"op": "test", "path": "/spec", "value": {}}); MAX_OPERATIONS + 1];
        assert_eq!(patched(&object, many.into()).unwrap_err().code(), 413);
    }

    #[test]
    fn a_field_that_is_not_there_passes_a_test_for_null() {
        let object = json!({"metadata": {"a/b": 1, "none": null}, "list": []});
        let code = |path: &str, value: Value| {
            let patch =
                json!([{"op": "test", "path": path, "value": value}, {"op": "add", "path": "/new", "value": 1}]);
            patched(&object, patch).map(|patched| patched["new"] == 1).map_err(|error| error.code())
        };
        assert_eq!(code("/metadata/finalizers", Value::Null), Ok(true));
        assert_eq!(code("/metadata/none", Value::Null), Ok(true));
        for (path, value) in [("/metadata/finalizers", json!([])), ("/metadata/a~1b", Value::Null)] {
            assert_eq!(code(path, value), Err(422), "{path}");
        }
        for path in ["/status/phase", "/list/0", "/metadata/a~1b/c"] {
            assert_eq!(code(path, Value::Null), Err(422), "{path}: there is nothing it could be in");
        }
    }

    #[test]
    fn copies_of_copies_are_bounded() {
        let mut operations = vec![json!({"op": "add", "path": "/a", "value": "x".repeat(1000)})];
        operations.extend((0..64).map(|i| json!({"op": "copy", "from": "", "path": format!("/c{i}")})));
        assert!(matches!(patched(&json!({}), operations.into()).unwrap_err(), JsonPatchError::TooMuchCopied));
    }

    #[test]
    fn copies_into_the_deepest_place_are_bounded() {
        let mut operations = vec![json!({"op": "add", "path": "/a", "value": {}})];
        for doubling in 0..20 {
            let path = format!("{}/a", "/a".repeat(1 << doubling));
            operations.push(json!({"op": "copy", "from": "/a", "path": path}));
        }
        assert!(matches!(patched(&json!({}), operations.into()).unwrap_err(), JsonPatchError::TooDeep));
    }

    #[test]
    fn a_merge_patch_follows_the_examples_of_its_rfc() {
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (mut object, patch, expected) in cases {
            merge(&mut object, patch.clone());
            assert_eq!(object, expected, "{patch}");
        }
    }
}
