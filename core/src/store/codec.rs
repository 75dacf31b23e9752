//! How objects and changes are written down. Every record ends in a CRC-32 of what comes before it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Event, Origin, Origins, WatchChange};
use crate::object::{Metadata, Object, ObjectKey, Revision, StoredObject, intern};

/// The shape of records. A store written in another is refused, never misread.
pub(super) const FORMAT: u8 = 1;

/// A record that does not say what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
    /// The record is of another version of Sampan.
    #[error("record format {0} is not known")]
    Format(u8),
    /// The record ends early or holds what cannot be.
    #[error("the {0} cannot be read")]
    Shape(&'static str),
}

/// The latest state of an object, with what is known of it beyond its JSON.
pub(super) struct ObjectRecord {
    pub(super) object: Object,
    pub(super) origins: Origins,
    pub(super) changed_at: Timestamp,
}

/// Encodes the `objects` record.
pub(super) fn encode_object(object: &Object, origins: &Origins, changed_at: Timestamp) -> Vec<u8> {
    let mut out = Encoder::with_capacity(object.bytes().len() + 512);
    out.u64(changed_at.as_millisecond() as u64);
    out.json(&*origins.created);
    if origins.asked != origins.created && origins.asked != origins.changed {
        out.json(&[&*origins.changed, &*origins.asked]);
    } else if origins.changed == origins.created {
        out.bytes(b"");
    } else {
        out.json(&*origins.changed);
    }
    out.object(object);
    out.finish()
}

/// Decodes the `objects` record of `key`.
pub(super) fn decode_object(key: ObjectKey, record: &[u8]) -> Result<ObjectRecord, Damage> {
    let mut read = Decoder::new(record)?;
    let changed_at = read.time()?;
    let created: Arc<Origin> = Arc::new(read.json("origin")?);
    let (changed, asked) = match read.bytes("origin")? {
        [] => (created.clone(), created.clone()),
        // Where somebody from outside has changed it since, they stand beside who changed it last.
        json if json.starts_with(b"[") => {
            let [changed, asked]: [Origin; 2] = from_json(json, "origin")?;
            (Arc::new(changed), Arc::new(asked))
        }
        json => {
            let changed: Arc<Origin> = Arc::new(from_json(json, "origin")?);
            // So they stand in a record of before: what it is now is known of it all the same.
            let asked = if changed.is_from_outside() { changed.clone() } else { created.clone() };
            (changed, asked)
        }
    };
    let object = read.object(Arc::new(key))?;
    Ok(ObjectRecord { object, origins: Origins { created, asked, changed }, changed_at })
}

const ADDED: u8 = 0;
const MODIFIED: u8 = 1;
const REMOVED: u8 = 2;

/// Encodes the `log` record of a change.
pub(super) fn encode_event(event: &Event) -> Vec<u8> {
    let mut out = Encoder::with_capacity(event.change.object().bytes().len() + 512);
    out.text(&event.key.to_string());
    out.json(&*event.origin);
    match &event.change {
        WatchChange::Added(object) => {
            out.u8(ADDED);
            out.object(object);
        }
        WatchChange::Modified { before, after } => {
            out.u8(MODIFIED);
            out.object(after);
            out.before(before, after);
        }
        WatchChange::Removed(object) => {
            out.u8(REMOVED);
            out.object(object);
        }
    }
    event.changed_at.into_iter().for_each(|at| out.u64(at.as_millisecond() as u64));
    out.finish()
}

/// The key of a `log` record, without reading the rest.
pub(super) fn event_key(record: &[u8]) -> Result<ObjectKey, Damage> {
    Decoder::new(record)?.key()
}

/// Decodes a `log` record.
pub(super) fn decode_event(record: &[u8]) -> Result<Event, Damage> {
    let mut read = Decoder::new(record)?;
    let key = read.key()?;
    let origin = Arc::new(read.json("origin")?);
    let shared = Arc::new(key.clone());
    let kind = read.u8()?;
    let object = Arc::new(read.object(shared)?);
    let revision = object.revision();
    let change = match kind {
        ADDED => WatchChange::Added(object),
        MODIFIED => WatchChange::Modified { before: Arc::new(read.before(&object)?), after: object },
        REMOVED => WatchChange::Removed(object),
        _ => return Err(Damage::Shape("kind of change")),
    };
    let changed_at = if read.0.is_empty() { None } else { Some(read.time()?) };
    Ok(Event { revision, key, change, origin, changed_at })
}

/// What the log needs of a record to be checked: the object, the revision and whether the object was there after it.
pub(super) fn event_outcome(record: &[u8]) -> Result<(&str, Revision, bool), Damage> {
    let mut read = Decoder::new(record)?;
    let key = read.text("key")?;
    read.bytes("origin")?;
    let kind = read.u8()?;
    Ok((key, Revision(read.u64()?), kind != REMOVED))
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(FORMAT);
        Self(out)
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: usize) {
        let value = u32::try_from(value).expect("an object is far below 4 GiB");
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len());
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    fn json(&mut self, value: &impl Serialize) {
        let at = self.0.len();
        self.u32(0);
        serde_json::to_writer(&mut self.0, value).expect("writing JSON to memory cannot fail");
        let length = u32::try_from(self.0.len() - at - 4).expect("an object is far below 4 GiB");
        if let Some(hole) = self.0.get_mut(at..at + 4) {
            hole.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn fields(&mut self, fields: &[(&'static str, String)]) {
        self.u32(fields.len());
        for (name, value) in fields {
            self.text(name);
            self.text(value);
        }
    }

    fn object(&mut self, object: &Object) {
        self.u64(object.revision().0);
        self.u32(object.revision_start());
        self.fields(object.fields());
        self.bytes(object.bytes());
    }

    /// The metadata only where it differs: most changes are of spec or status.
    fn before(&mut self, before: &Object, after: &Object) {
        self.u64(before.revision().0);
        self.fields(before.fields());
        if before.metadata() == after.metadata() {
            self.bytes(b"");
        } else {
            self.json(before.metadata());
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let sum = crc32fast::hash(&self.0);
        self.0.extend_from_slice(&sum.to_le_bytes());
        self.0
    }
}

struct Decoder<'r>(&'r [u8]);

impl<'r> Decoder<'r> {
    fn new(record: &'r [u8]) -> Result<Self, Damage> {
        let (body, sum) = record.split_last_chunk::<4>().ok_or(Damage::Shape("record"))?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return Err(Damage::Checksum);
        }
        let mut read = Self(body);
        match read.u8()? {
            FORMAT => Ok(read),
            other => Err(Damage::Format(other)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Damage::Shape("number"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Damage> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<usize, Damage> {
        self.take().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn u64(&mut self) -> Result<u64, Damage> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self, what: &'static str) -> Result<&'r [u8], Damage> {
        let length = self.u32()?;
        let (value, rest) = self.0.split_at_checked(length).ok_or(Damage::Shape(what))?;
        self.0 = rest;
        Ok(value)
    }

    fn text(&mut self, what: &'static str) -> Result<&'r str, Damage> {
        std::str::from_utf8(self.bytes(what)?).map_err(|_| Damage::Shape(what))
    }

    fn key(&mut self) -> Result<ObjectKey, Damage> {
        ObjectKey::parse(self.text("key")?).ok_or(Damage::Shape("key"))
    }

    fn time(&mut self) -> Result<Timestamp, Damage> {
        Timestamp::from_millisecond(self.u64()? as i64).map_err(|_| Damage::Shape("time"))
    }

    fn json<T: DeserializeOwned>(&mut self, what: &'static str) -> Result<T, Damage> {
        from_json(self.bytes(what)?, what)
    }

    fn fields(&mut self) -> Result<Vec<(&'static str, String)>, Damage> {
        let count = self.u32()?;
        (0..count).map(|_| Ok((intern(self.text("field")?), self.text("field")?.to_owned()))).collect()
    }

    fn object(&mut self, key: Arc<ObjectKey>) -> Result<Object, Damage> {
        let stored = StoredObject {
            revision: Revision(self.u64()?),
            revision_start: self.u32()?,
            fields: self.fields()?,
            bytes: Bytes::copy_from_slice(self.bytes("object")?),
        };
        Object::restore(key, stored).map_err(|_| Damage::Shape("object's metadata"))
    }

    fn before(&mut self, after: &Object) -> Result<Object, Damage> {
        let revision = Revision(self.u64()?);
        let fields = self.fields()?;
        let metadata: Metadata = match self.bytes("metadata")? {
            [] => after.metadata().clone(),
            json => from_json(json, "metadata")?,
        };
        Ok(Object::outline(after.shared_key().clone(), metadata, revision, fields))
    }
}

fn from_json<T: DeserializeOwned>(json: &[u8], what: &'static str) -> Result<T, Damage> {
    serde_json::from_slice(json).map_err(|_| Damage::Shape(what))
}
