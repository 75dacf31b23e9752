//! The whole cluster at one revision.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use jiff::Timestamp;

use super::check::check;
use super::condition::Counters;
use super::index::Index;
use super::sums::{Sums, Totals};
use super::{IndexKey, Origin};
use super::{Refusal, Write};
use crate::object::{Draft, Name, Object, ObjectKey, ResourceType, Revision};

/// The cluster at one revision: consistent across all kinds, never blocking, never touching the disk.
///
/// Cloning is one reference count. Everything read through one snapshot was true at the same moment.
#[derive(Clone, Default)]
pub struct Snapshot(Arc<Head>);

/// Where an object comes from: kept with it, so that it can be told when the log no longer can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// Who created it.
    pub created: Arc<Origin>,
    /// Who changed it last from outside: a manifest or a client, where one has; else who created it.
    pub asked: Arc<Origin>,
    /// Who changed it last.
    pub changed: Arc<Origin>,
}

impl Origins {
    /// Those of an object that is new.
    pub fn of_new(origin: Arc<Origin>) -> Self {
        Self { created: origin.clone(), asked: origin.clone(), changed: origin }
    }

    /// Those of an object that is changed once more.
    #[must_use]
    pub fn changed_by(&self, origin: Arc<Origin>) -> Self {
        let asked = if origin.is_from_outside() { &origin } else { &self.asked };
        Self { created: self.created.clone(), asked: asked.clone(), changed: origin }
    }
}

/// The state that snapshots are taken of. Its maps share structure, so that a copy is flat in the number of objects.
#[derive(Clone, Default)]
pub(super) struct Head {
    pub(super) revision: Revision,
    resources: BTreeMap<ResourceType, Objects>,
    index: Index,
    totals: Totals,
}

type Objects = OrdMap<Arc<ObjectKey>, Entry>;

/// The objects of a resource type as they stood in a snapshot, kept to tell whether any has changed since.
#[derive(Clone, Default)]
pub struct Collection(Objects);

impl Collection {
    /// Whether both hold the same objects at the same revisions. It compares no objects: two that were made apart may
    /// be alike and are told as changed, never the other way round.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

#[derive(Clone)]
struct Entry {
    object: Arc<Object>,
    origins: Arc<Origins>,
    /// In milliseconds, as it is on the disk: a restart changes nothing of it.
    changed_at_ms: i64,
}

impl Head {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        Some(&self.entry(key)?.object)
    }

    pub(super) fn origins(&self, key: &ObjectKey) -> Option<&Arc<Origins>> {
        Some(&self.entry(key)?.origins)
    }

    fn entry(&self, key: &ObjectKey) -> Option<&Entry> {
        self.resources.get(&key.resource)?.get(key)
    }

    /// Adds or replaces an object, and returns the one replaced.
    pub(super) fn insert(
        &mut self,
        object: Arc<Object>,
        origins: Arc<Origins>,
        changed_at: Timestamp,
    ) -> Option<Arc<Object>> {
        let objects = self.resources.entry(object.key().resource).or_default();
        let entry = Entry { object: object.clone(), origins, changed_at_ms: changed_at.as_millisecond() };
        let old = objects.insert(object.shared_key().clone(), entry).map(|entry| entry.object);
        self.index.replace(old.as_deref(), Some(&object));
        self.totals.replace(old.as_deref(), Some(&object));
        old
    }

    /// Removes an object, and returns it.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        let objects = self.resources.get_mut(&key.resource)?;
        let old = objects.remove(key)?.object;
        if objects.is_empty() {
            self.resources.remove(&key.resource);
        }
        self.index.replace(Some(&old), None);
        self.totals.replace(Some(&old), None);
        Some(old)
    }

    /// The objects of a resource type, in one namespace or all.
    pub(super) fn list(&self, resource: ResourceType, namespace: Option<&Name>) -> impl Iterator<Item = &Arc<Object>> {
        let first = ObjectKey { resource, namespace: namespace.cloned(), name: "".into() };
        let namespace = namespace.cloned();
        let found = self.resources.get(&resource).into_iter().flat_map(move |objects| objects.range(first.clone()..));
        found
            .map(|(_, entry)| &entry.object)
            .take_while(move |object| namespace.is_none() || object.key().namespace == namespace)
    }

    /// The objects under an index key.
    pub(super) fn find(&self, index: &IndexKey) -> impl Iterator<Item = &Arc<Object>> + use<'_> {
        self.index.find(index)
    }

    /// A snapshot of the state as it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(Arc::new(self.clone()))
    }
}

impl Snapshot {
    /// A cluster of these objects, the first at revision 1: for tests and for dry runs.
    pub fn of(drafts: impl IntoIterator<Item = Draft>) -> Self {
        let mut head = Head::default();
        let origin = Arc::new(Origin::System { purpose: "a snapshot of given objects".to_owned() });
        let origins = Arc::new(Origins::of_new(origin));
        for draft in drafts {
            head.revision = head.revision.next();
            head.insert(Arc::new(draft.at(head.revision)), origins.clone(), Timestamp::UNIX_EPOCH);
        }
        Self(Arc::new(head))
    }

    /// Whether a request would be committed as the cluster stands here: for dry runs.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn check(&self, write: &Write) -> Result<(), Refusal> {
        check(write, &self.0, &mut Counters::default())
    }

    pub(super) fn head(&self) -> &Head {
        &self.0
    }

    /// The revision of the last change it holds.
    pub fn revision(&self) -> Revision {
        self.0.revision
    }

    /// The object of that key.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.0.get(key)
    }

    /// Who created the object of that key, and who changed it last.
    pub fn origins(&self, key: &ObjectKey) -> Option<&Origins> {
        self.0.origins(key).map(|origins| &**origins)
    }

    /// When the object of that key was changed last, by the clock of the store: whatever times are written in it.
    pub fn changed_at(&self, key: &ObjectKey) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.0.entry(key)?.changed_at_ms).ok()
    }

    /// The objects of a resource type, in one namespace or all, in order of namespace and name, starting after `after`.
    pub fn list(
        &self,
        resource: ResourceType,
        namespace: Option<&str>,
        after: Option<&ObjectKey>,
    ) -> impl Iterator<Item = &Arc<Object>> + use<'_> {
        let namespace: Option<Arc<str>> = namespace.map(Into::into);
        let first = ObjectKey { resource, namespace: namespace.clone(), name: "".into() };
        let start = match after {
            Some(after) if *after > first => Bound::Excluded(after.clone()),
            _ => Bound::Included(first),
        };
        let objects = self.0.resources.get(&resource);
        let found = objects.into_iter().flat_map(move |objects| objects.range((start.clone(), Bound::Unbounded)));
        found.map(|(_, entry)| &entry.object).take_while(move |object| match &namespace {
            Some(namespace) => object.key().namespace.as_ref() == Some(namespace),
            None => true,
        })
    }

    /// The objects of a resource type as they stand, to be compared with later.
    pub fn collection(&self, resource: ResourceType) -> Collection {
        Collection(self.0.resources.get(&resource).cloned().unwrap_or_default())
    }

    /// How many objects of the resource type there are.
    pub fn count(&self, resource: ResourceType) -> usize {
        self.0.resources.get(&resource).map_or(0, OrdMap::len)
    }

    /// The resource types that have objects.
    pub fn resources(&self) -> impl Iterator<Item = ResourceType> + use<'_> {
        self.0.resources.keys().copied()
    }

    /// The objects under an index key, in key order.
    pub fn index(&self, index: &IndexKey) -> impl Iterator<Item = &Arc<Object>> + use<'_> {
        self.0.index.find(index)
    }

    /// What the objects of a resource type add to the sums of `of`, where any does: of pods, what they take of that node.
    pub fn sums(&self, resource: ResourceType, of: &str) -> Option<&Arc<Sums>> {
        self.0.totals.get(resource, of)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Snapshot@{}", self.revision())
    }
}

#[cfg(test)]
mod tests;
