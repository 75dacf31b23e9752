//! An object as the store holds it: encoded once, decoded at most once per revision.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::typed::{Looks, Typed};
use super::{Metadata, ObjectKey, Revision, Share, Uid};

/// How metadata begins: the revision's digits follow.
const METADATA_OPENING: &[u8] = br#"{"resourceVersion":""#;

/// What stands for an object that the log no longer holds as it was.
const LOST: &str = "the log no longer holds it as it was";

/// An object that is encoded but for the revision it will become.
///
/// Encoding happens on the caller's thread; the sequencer only splices the revision into the hole left for it.
#[derive(Debug, Clone)]
pub struct Draft {
    key: ObjectKey,
    metadata: Metadata,
    fields: Vec<(&'static str, String)>,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// Why a value cannot become an object.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The value has no `metadata` object.
    #[error("failed to encode {0}: metadata is missing")]
    NoMetadata(ObjectKey),
    /// The metadata does not have the shape every object's has.
    #[error("failed to read the metadata of {key}")]
    Metadata {
        /// The object.
        key: ObjectKey,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
}

impl Draft {
    /// Encodes `value`, whose metadata carries at least `uid` and `creationTimestamp`. A resource version it has is
    /// replaced. `fields` are the values field selectors may ask for.
    ///
    /// # Errors
    /// When the metadata is missing or malformed: the gateway has checked both, so this is a fault of ours.
    pub fn new(key: ObjectKey, mut value: Value, fields: Vec<(&'static str, String)>) -> Result<Self, DraftError> {
        let Some(Value::Object(mut rest)) = value.get_mut("metadata").map(Value::take) else {
            return Err(DraftError::NoMetadata(key));
        };
        rest.remove("resourceVersion");
        let rest = Value::Object(rest);
        let metadata = match Metadata::deserialize(&rest) {
            Ok(metadata) => metadata,
            Err(source) => return Err(DraftError::Metadata { key, source }),
        };
        let (head, tail) = encode_around_revision(&value, &rest);
        Ok(Self { key, metadata, fields, head, tail })
    }

    /// The same object under another name, with another identity.
    pub(crate) fn twin(&self, key: ObjectKey, uid: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Own<'b> {
            #[serde(borrow)]
            name: &'b RawValue,
            #[serde(borrow)]
            uid: &'b RawValue,
        }
        // What follows the revision is `","annotations":…`: a brace in place of the first two is the metadata without it.
        let rest = [b"{", self.tail.get(2..)?].concat();
        let own = serde_json::Deserializer::from_slice(&rest).into_iter::<Own<'_>>().next()?.ok()?;
        let mut others = [(own.name.get(), &*key.name), (own.uid.get(), uid)];
        others.sort_by_key(|(text, _)| text.as_ptr());
        let (mut tail, mut copied) = (br#"","#.to_vec(), 1);
        for (text, other) in others {
            let at = text.as_ptr() as usize - rest.as_ptr() as usize;
            tail.extend_from_slice(rest.get(copied..at)?);
            encode(&mut tail, &other);
            copied = at + text.len();
        }
        tail.extend_from_slice(rest.get(copied..)?);
        let metadata = Metadata { uid: Uid(uid.into()), ..self.metadata.clone() };
        Some(Self { key, metadata, fields: self.fields.clone(), head: self.head.clone(), tail })
    }

    /// The object's key.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The object's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The values of the selectable fields.
    pub fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }

    /// The object, at the revision it became.
    pub fn at(self, revision: Revision) -> Object {
        let text = revision.to_string();
        let mut bytes = Vec::with_capacity(self.head.len() + text.len() + self.tail.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(&self.tail);
        Object {
            key: Arc::new(self.key),
            metadata: self.metadata,
            revision,
            revision_start: self.head.len(),
            fields: self.fields,
            bytes: bytes.into(),
            typed: Typed::default(),
        }
    }
}

/// The encoding before and after the revision. The resource version comes first in the metadata, so the cut is known
/// without searching text a user wrote.
fn encode_around_revision(value: &Value, metadata: &Value) -> (Vec<u8>, Vec<u8>) {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let mut opening = b'{';
    for (name, field) in value.as_object().into_iter().flatten() {
        let out = if tail.is_empty() { &mut head } else { &mut tail };
        out.push(opening);
        opening = b',';
        encode(out, name);
        out.push(b':');
        if name == "metadata" {
            head.extend_from_slice(METADATA_OPENING);
            tail.push(b'"');
            let start = tail.len();
            encode(&mut tail, metadata);
            if let Some(brace) = tail.get_mut(start) {
                *brace = b',';
            }
        } else {
            encode(out, field);
        }
    }
    tail.push(b'}');
    (head, tail)
}

fn encode(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(out, value).expect("writing JSON to memory cannot fail");
}

/// An object at one revision: immutable, shared by GET, LIST, WATCH, operators and the log.
pub struct Object {
    key: Arc<ObjectKey>,
    metadata: Metadata,
    revision: Revision,
    revision_start: usize,
    fields: Vec<(&'static str, String)>,
    bytes: Bytes,
    typed: Typed,
}

/// An object as a disk keeps it, beside its key: everything that is not read again from its JSON.
pub(crate) struct StoredObject {
    pub(crate) revision: Revision,
    /// Where the revision's digits begin in `bytes`.
    pub(crate) revision_start: usize,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) bytes: Bytes,
}

/// Why an object cannot be read as a type.
#[derive(Debug, thiserror::Error)]
#[error("failed to decode {key} at revision {revision}")]
pub struct DecodeError {
    /// The object.
    pub key: ObjectKey,
    /// Its revision.
    pub revision: Revision,
    /// What does not fit.
    #[source]
    pub source: serde_json::Error,
}

impl Object {
    /// Reads an object back as it was stored.
    pub(crate) fn restore(key: Arc<ObjectKey>, stored: StoredObject) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Envelope {
            metadata: Metadata,
        }
        let StoredObject { revision, revision_start, fields, bytes } = stored;
        match serde_json::from_slice::<Envelope>(&bytes) {
            Ok(Envelope { metadata }) => {
                Ok(Self { key, metadata, revision, revision_start, fields, bytes, typed: Typed::default() })
            }
            Err(source) => Err(DecodeError { key: (*key).clone(), revision, source }),
        }
    }

    /// An object of which only key, metadata and selectable fields are known; its JSON is `{}`.
    pub(crate) fn outline(
        key: Arc<ObjectKey>,
        metadata: Metadata,
        revision: Revision,
        fields: Vec<(&'static str, String)>,
    ) -> Self {
        let bytes = Bytes::from_static(b"{}");
        Self { key, metadata, revision, revision_start: 0, fields, bytes, typed: Typed::default() }
    }

    /// An object of which no more is known than of an [outline](Self::outline), and which does not pass for a whole one: its
    /// JSON is a text, which no kind decodes, and whoever looks into it is counted.
    pub(crate) fn lost(outline: &Self, looks: &Looks) -> Self {
        let Self { key, metadata, revision, fields, .. } = outline;
        let bytes = format!("{LOST:?}").into();
        let (key, metadata, fields) = (key.clone(), metadata.clone(), fields.clone());
        Self { key, metadata, revision: *revision, revision_start: 0, fields, bytes, typed: Typed::lost(looks) }
    }

    /// Somebody asks of the object what is known of it beyond what the object says, and is lost with it.
    pub(crate) fn look(&self) {
        self.typed.look();
    }

    /// The same object as if its last change had been at `revision`: how a removal shows it.
    pub(crate) fn restamped(&self, revision: Revision) -> Self {
        let old = self.revision.to_string().len();
        let head = self.bytes.get(..self.revision_start).unwrap_or_default();
        let tail = self.bytes.get(self.revision_start + old..).unwrap_or_default();
        let digits = revision.to_string();
        Self {
            key: self.key.clone(),
            metadata: self.metadata.clone(),
            revision,
            revision_start: self.revision_start,
            fields: self.fields.clone(),
            bytes: [head, digits.as_bytes(), tail].concat().into(),
            typed: Typed::default(),
        }
    }

    /// The same object, found by other fields.
    pub(crate) fn found_by(&self, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            key: self.key.clone(),
            metadata: self.metadata.clone(),
            revision: self.revision,
            revision_start: self.revision_start,
            fields,
            bytes: self.bytes.clone(),
            typed: Typed::default(),
        }
    }

    /// Where the revision's digits begin in the JSON.
    pub(crate) fn revision_start(&self) -> usize {
        self.revision_start
    }

    /// The object's key, shared.
    pub(crate) fn shared_key(&self) -> &Arc<ObjectKey> {
        &self.key
    }

    /// The object's key.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The object's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The revision of its last change.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Its JSON, encoded once, in the version it is stored in.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The value of a selectable field such as `spec.nodeName`; `metadata.name` and `metadata.namespace` always answer.
    pub fn field(&self, path: &str) -> Option<&str> {
        match path {
            "metadata.name" => Some(&self.key.name),
            "metadata.namespace" => Some(self.key.namespace.as_deref().unwrap_or_default()),
            path => self.fields.iter().find(|(name, _)| *name == path).map(|(_, value)| value.as_str()),
        }
    }

    /// The selectable fields beyond name and namespace.
    pub fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }

    /// What it adds to sums, where it does.
    pub fn share(&self) -> Option<Share<'_>> {
        Share::read(&self.fields)
    }

    /// The object as a JSON value of the caller's own.
    pub fn value(&self) -> Value {
        self.look();
        serde_json::from_slice(&self.bytes).expect("what the store encoded decodes")
    }

    /// The same without its `managedFields`, which are half of many objects: whoever writes an object without them leaves them as
    /// they are.
    pub fn value_without_managers(&self) -> Value {
        let [before, after] = self.around_managed_fields();
        if after.is_empty() {
            return self.value();
        }
        self.look();
        let mut value: Value =
            serde_json::from_slice(&[before, b"null", after].concat()).expect("what the store encoded decodes");
        value.get_mut("metadata").and_then(Value::as_object_mut).map(|metadata| metadata.remove("managedFields"));
        value
    }

    /// The object as `T`, decoded on first use and kept until [`forget_typed`](Self::forget_typed). Its `managedFields` are
    /// left out: they would take as much as all else, and whoever writes an object without them leaves them as they are.
    ///
    /// # Errors
    /// When the stored object is no `T`.
    pub fn decode<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, DecodeError> {
        let decode = || {
            let [before, after] = self.around_managed_fields();
            let value = match after {
                b"" => serde_json::from_slice(before)?,
                _ => serde_json::from_slice(&[before, b"null", after].concat())?,
            };
            Ok((value, before.len() + after.len()))
        };
        self.typed.get_or_decode(decode).map_err(|source| DecodeError {
            key: (*self.key).clone(),
            revision: self.revision,
            source,
        })
    }

    /// Its JSON before and after the value of `metadata.managedFields`; all of it before where there is none.
    fn around_managed_fields(&self) -> [&[u8]; 2] {
        #[derive(Deserialize)]
        struct Managed<'b> {
            #[serde(borrow, rename = "managedFields")]
            fields: Option<&'b RawValue>,
        }
        let start = self.revision_start.saturating_sub(METADATA_OPENING.len());
        let metadata = self.bytes.get(start..).unwrap_or_default();
        let managed = serde_json::Deserializer::from_slice(metadata).into_iter::<Managed<'_>>().next();
        let Some(Ok(Managed { fields: Some(fields) })) = managed else { return [&self.bytes, b""] };
        let from = fields.get().as_ptr() as usize - self.bytes.as_ptr() as usize;
        let [before, after] = [self.bytes.get(..from), self.bytes.get(from + fields.get().len()..)];
        [before.unwrap_or_default(), after.unwrap_or_default()]
    }

    /// Drops the decoded value, to bound memory.
    pub fn forget_typed(&self) {
        self.typed.forget();
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}@{}", self.key, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::ResourceType;

    fn draft() -> Draft {
        let key = ObjectKey::namespaced(ResourceType::new("", "configmaps"), "default", "a");
        let value = json!({"data": {"k": "resourceVersion"}, "spec": {}, "metadata": {
            "name": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "3"}});
        Draft::new(key, value, Vec::new()).unwrap()
    }

    #[test]
    fn what_is_decoded_leaves_out_who_manages_which_field() {
        let key = ObjectKey::namespaced(ResourceType::new("", "configmaps"), "default", "a");
        let value = json!({"data": {"k": "\"managedFields\":[1]"}, "metadata": {
            "annotations": {"managedFields": "mine"}, "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}],
            "name": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}, "kind": "ConfigMap"});
        let object = Draft::new(key, value.clone(), Vec::new()).unwrap().at(Revision(7));
        let decoded = object.decode::<Value>().unwrap();
        let mut expect = value;
        expect["metadata"]["managedFields"] = Value::Null;
        expect["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(*decoded, expect);
        expect["metadata"].as_object_mut().unwrap().remove("managedFields");
        assert_eq!(object.value_without_managers(), expect);
        let plain = draft().at(Revision(1234));
        assert_eq!(*plain.decode::<Value>().unwrap(), plain.value());
        assert_eq!(plain.value_without_managers(), plain.value());
    }

    #[test]
    fn the_revision_is_spliced_into_the_encoding() {
        let object = draft().at(Revision(1234));
        assert_eq!(object.value()["metadata"]["resourceVersion"], "1234");
        assert_eq!(object.value()["data"]["k"], "resourceVersion");
        assert_eq!(object.metadata().uid.as_str(), "u");
    }

    #[test]
    fn a_twin_differs_in_name_and_uid_alone() {
        let twin =
            draft().twin(ObjectKey { name: "b\"2".into(), ..draft().key().clone() }, "v").unwrap().at(Revision(12));
        let mut expect = draft().at(Revision(12)).value();
        expect["metadata"]["name"] = json!("b\"2");
        expect["metadata"]["uid"] = json!("v");
        assert_eq!(twin.value(), expect);
        assert_eq!((&*twin.key().name, twin.metadata().uid.as_str()), ("b\"2", "v"));
    }

    #[test]
    fn a_removed_object_shows_the_revision_of_its_removal() {
        let object = draft().at(Revision(9)).restamped(Revision(1000));
        assert_eq!(object.revision(), Revision(1000));
        assert_eq!(object.value()["metadata"]["resourceVersion"], "1000");
        assert_eq!(object.value()["data"]["k"], "resourceVersion");
        assert_eq!(object.restamped(Revision(9)).bytes(), draft().at(Revision(9)).bytes());
    }

    #[test]
    fn a_typed_value_is_decoded_once() {
        let object = draft().at(Revision(1));
        let first = object.decode::<Value>().unwrap();
        assert!(Arc::ptr_eq(&first, &object.decode::<Value>().unwrap()));
        object.forget_typed();
        assert!(!Arc::ptr_eq(&first, &object.decode::<Value>().unwrap()));
    }
}
