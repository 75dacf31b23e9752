//! What was made of stored objects, kept for as long as they stay as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::object::{Object, ObjectKey, ResourceType, Uid};
use crate::store::Snapshot;

/// What something was made of: another uid or text, another thing.
type Made<T> = (Uid, bytes::Bytes, Arc<T>);

/// What was made of the objects of one resource type: once for each revision.
pub(super) struct Revised<T> {
    resource: ResourceType,
    make: fn(&Object) -> T,
    made: Mutex<BTreeMap<ObjectKey, Made<T>>>,
}

impl<T> Revised<T> {
    pub(super) fn new(resource: ResourceType, make: fn(&Object) -> T) -> Self {
        Self { resource, make, made: Mutex::default() }
    }

    /// What is made of the objects as they stand, in order of their names.
    pub(super) fn all(&self, snapshot: &Snapshot) -> Vec<Arc<T>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Arc<T>> =
            snapshot.list(self.resource, None, None).map(|object| self.of(&mut made, object)).collect();
        if made.len() > all.len() {
            made.retain(|key, _| snapshot.get(key).is_some());
        }
        all
    }

    /// The text is told apart by where it lies: an object keeps its own for as long as it is.
    fn of(&self, made: &mut BTreeMap<ObjectKey, Made<T>>, object: &Object) -> Arc<T> {
        if let Some((uid, bytes, kept)) = made.get(object.key())
            && *uid == object.metadata().uid
            && bytes.as_ptr() == object.bytes().as_ptr()
        {
            return kept.clone();
        }
        let new = Arc::new((self.make)(object));
        made.insert(object.key().clone(), (object.metadata().uid.clone(), object.bytes().clone(), new.clone()));
        new
    }
}
