//! The cluster as it was: head, with its changes taken back one by one as the log tells them.
//!
//! The log holds every change it reaches back to as a whole object. What an object was before the first of them it does not:
//! such an object is [lost](crate::object::Object::lost): it decodes as nothing, and whoever looks into it is counted.

use std::sync::Arc;

use jiff::Timestamp;

use super::recovery::own_origin;
use super::snapshot::Head;
use super::{Event, Origins, Reader, Snapshot, WatchChange, WatchError};
use crate::object::{Looks, Object, ObjectKey, Revision};

/// How many changes are read from the log at once: it bounds the memory a long way back takes.
const READ_AT_ONCE: u64 = 1000;

/// A way back through the log.
pub struct Rewind {
    reader: Reader,
    head: Head,
    looks: Looks,
}

impl Reader {
    /// A way back that begins at head.
    pub fn rewind(&self) -> Rewind {
        Rewind { reader: self.clone(), head: self.snapshot().head().clone(), looks: Looks::default() }
    }
}

impl Rewind {
    /// How often somebody has looked into what is lost of the snapshots.
    pub(crate) fn looks(&self) -> Looks {
        self.looks.clone()
    }

    /// The cluster as it was at `revision`, which is not above the one gone back to last.
    ///
    /// # Errors
    /// When the log no longer reaches back so far, or the disk fails.
    pub fn to(&mut self, revision: Revision) -> Result<Snapshot, WatchError> {
        while self.head.revision > revision {
            let from = Revision(self.head.revision.0.saturating_sub(READ_AT_ONCE)).max(revision);
            let events = self.between(from)?;
            for event in events.iter().rev() {
                self.take_back(event)?;
            }
            self.head.revision = from;
        }
        Ok(self.head.snapshot())
    }

    /// The changes after `from`, up to where it has gone back to.
    fn between(&self, from: Revision) -> Result<Vec<Arc<Event>>, WatchError> {
        let (mut events, mut cursor) = (Vec::new(), from);
        while cursor < self.head.revision {
            let left = usize::try_from(self.head.revision.0 - cursor.0).unwrap_or(usize::MAX);
            let batch = self.reader.all_events_after(cursor, left)?;
            cursor = batch.through;
            events.extend(batch.events);
        }
        events.retain(|event| event.revision <= self.head.revision);
        Ok(events)
    }

    fn take_back(&mut self, event: &Arc<Event>) -> Result<(), WatchError> {
        match &event.change {
            WatchChange::Added(_) => drop(self.head.remove(&event.key)),
            WatchChange::Modified { before, .. } => self.put_back(&event.key, before)?,
            WatchChange::Removed(object) => {
                let origin = Arc::new(own_origin("what it came from is no longer known"));
                let origins = Origins::of_new(origin);
                let changed_at = event.changed_at.unwrap_or(Timestamp::UNIX_EPOCH);
                self.head.insert(object.clone(), Arc::new(origins), changed_at);
            }
        }
        Ok(())
    }

    /// An object is again what it was before a change.
    fn put_back(&mut self, key: &ObjectKey, before: &Arc<Object>) -> Result<(), WatchError> {
        let change = self.change_at(before.revision())?;
        let (object, changed, changed_at) = if let Some(event) = &change {
            (event.change.object().clone(), event.origin.clone(), event.changed_at)
        } else {
            (
                Arc::new(Object::lost(before, &self.looks)),
                Arc::new(own_origin("what changed it is no longer known")),
                None,
            )
        };
        let known = self.head.origins(key);
        let origins = match known {
            Some(known) => Origins::of_new(known.created.clone()).changed_by(changed),
            None => Origins::of_new(changed),
        };
        self.head.insert(object, Arc::new(origins), changed_at.unwrap_or(Timestamp::UNIX_EPOCH));
        Ok(())
    }

    /// The change that was made at a revision; `None` where the log no longer reaches back to it.
    fn change_at(&self, revision: Revision) -> Result<Option<Arc<Event>>, WatchError> {
        match self.reader.all_events_after(Revision(revision.0.saturating_sub(1)), 1) {
            Ok(batch) => Ok(batch.events.into_iter().find(|event| event.revision == revision)),
            Err(WatchError::Compacted(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
