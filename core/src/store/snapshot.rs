//! The whole cluster at one revision.

use std::sync::Arc;

use crate::object::{Name, Object, ObjectKey, ResourceType, Revision, Uid};

/// What objects are indexed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexKey {
    /// Objects that name this uid among their owners, of every resource type.
    Owner(Uid),
    /// Objects of a resource type in a namespace that carry a label with this value.
    Label {
        /// The resource type.
        resource: ResourceType,
        /// The namespace.
        namespace: Option<Name>,
        /// The label's name.
        label: Name,
        /// Its value.
        value: Name,
    },
    /// Objects of a resource type with this value in a selectable field, such as `spec.nodeName`.
    Field {
        /// The resource type.
        resource: ResourceType,
        /// The field's path.
        field: &'static str,
        /// Its value.
        value: Name,
    },
}

/// The cluster at one revision: consistent across all kinds, never blocking, never touching the disk.
///
/// Cloning is a few reference counts. Everything read through one snapshot was true at the same moment.
#[derive(Clone)]
pub struct Snapshot {
    revision: Revision,
}

impl Snapshot {
    /// The revision of the last change it holds.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The object of that key.
    pub fn get(&self, _key: &ObjectKey) -> Option<&Arc<Object>> {
        unimplemented!()
    }

    /// The objects of a resource type, in one namespace or all, in order of namespace and name, starting after `after`.
    pub fn list(
        &self,
        _resource: ResourceType,
        _namespace: Option<&str>,
        _after: Option<&ObjectKey>,
    ) -> impl Iterator<Item = &Arc<Object>> {
        std::iter::empty()
    }

    /// How many objects of the resource type there are.
    pub fn count(&self, _resource: ResourceType) -> usize {
        unimplemented!()
    }

    /// The resource types that have objects.
    pub fn resources(&self) -> impl Iterator<Item = ResourceType> {
        std::iter::empty()
    }

    /// The objects under an index key, in key order.
    pub fn index(&self, _index: &IndexKey) -> impl Iterator<Item = &Arc<Object>> {
        std::iter::empty()
    }
}
