//! What objects are found by beyond their key.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use imbl::OrdMap;

use crate::object::{Draft, Metadata, Name, Object, ObjectKey, ResourceType, Uid};
use crate::resource::is_indexed;

/// The selectable field that says where an object stands, where its kind has one: the node of a pod.
pub const PLACE: &str = "spec.nodeName";

/// What objects are indexed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexKey {
    /// Objects that name this uid among their owners, of every resource type.
    Owner(Uid),
    /// Objects of a resource type in a namespace that carry a label with this value.
    Label {
        /// The resource type.
        resource: ResourceType,
        /// The namespace; `None` for objects of the cluster.
        namespace: Option<Name>,
        /// The label's name.
        label: Name,
        /// Its value.
        value: Name,
    },
    /// Objects of a resource type, in every namespace, with this value in a selectable field, such as `spec.nodeName`.
    /// An empty value is indexed too: pods without a node are found by it.
    Field {
        /// The resource type.
        resource: ResourceType,
        /// The field's path, of those that [objects are found by](is_indexed).
        field: &'static str,
        /// Its value.
        value: Name,
    },
}

impl IndexKey {
    /// Whether `object` is found under this key.
    pub fn holds(&self, object: &Object) -> bool {
        self.finds(object.key(), object.metadata(), object.fields())
    }

    /// Whether an object that is about to be is found under this key.
    pub(super) fn holds_draft(&self, draft: &Draft) -> bool {
        self.finds(draft.key(), draft.metadata(), draft.fields())
    }

    fn finds(&self, key: &ObjectKey, metadata: &Metadata, fields: &[(&'static str, String)]) -> bool {
        match self {
            Self::Owner(uid) => metadata.owner_references.iter().any(|owner| owner.uid == *uid),
            Self::Label { resource, namespace, label, value } => {
                key.resource == *resource && key.namespace == *namespace && metadata.labels.get(label) == Some(value)
            }
            Self::Field { resource, field, value } => {
                key.resource == *resource && fields.iter().any(|(name, found)| name == field && **found == **value)
            }
        }
    }

    /// Ends what would read by a field that objects are not found by: it would find nothing, and rest on nothing.
    ///
    /// # Panics
    /// When it is such a field.
    pub(crate) fn require_index(&self) {
        if let Self::Field { resource, field, .. } = self {
            assert!(is_indexed(*resource, field), "{resource} are not found by `{field}`");
        }
    }

    /// A number that stands for the key. Different keys may share one, so what is found by it is checked with
    /// [`holds`](Self::holds).
    pub(super) fn digest(&self) -> u64 {
        self.require_index();
        match self {
            Self::Owner(uid) => owner_digest(uid),
            Self::Label { resource, namespace, label, value } => {
                label_digest(*resource, namespace.as_deref(), label, value)
            }
            Self::Field { resource, field, value } => field_digest(*resource, field, value),
        }
    }
}

/// The digests of every index key that an object with this key, metadata and fields is found under.
pub(super) fn digests<'o>(
    key: &'o ObjectKey,
    metadata: &'o Metadata,
    fields: &'o [(&'static str, String)],
) -> impl Iterator<Item = u64> + use<'o> {
    let owners = metadata.owner_references.iter().map(|owner| owner_digest(&owner.uid));
    let namespace = key.namespace.as_deref();
    let labels = metadata.labels.iter().map(move |(label, value)| label_digest(key.resource, namespace, label, value));
    let fields = fields.iter().filter(|(field, _)| is_indexed(key.resource, field));
    let fields = fields.map(|(field, value)| field_digest(key.resource, field, value));
    owners.chain(labels).chain(fields)
}

/// The digests of every index key that `object` is found under.
pub(super) fn object_digests(object: &Object) -> impl Iterator<Item = u64> + use<'_> {
    digests(object.key(), object.metadata(), object.fields())
}

fn owner_digest(uid: &Uid) -> u64 {
    digest(&(0_u8, uid.as_str()))
}

fn label_digest(resource: ResourceType, namespace: Option<&str>, label: &str, value: &str) -> u64 {
    digest(&(1_u8, resource, namespace, label, value))
}

fn field_digest(resource: ResourceType, field: &str, value: &str) -> u64 {
    digest(&(2_u8, resource, field, value))
}

/// The same in every run: the hasher has fixed keys.
pub(super) fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// All indexes of all resource types in one persistent ordered map.
///
/// An entry is three words: a map per index key would cost a node of a kilobyte each, and most keys lead to few objects.
#[derive(Clone, Default)]
pub(super) struct Index(OrdMap<Slot, Arc<Object>>);

/// A place in the index: by digest, then by key. Without a key it comes before all others of its digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    digest: u64,
    key: Option<Arc<ObjectKey>>,
}

impl Index {
    /// The objects under `key`, in key order.
    pub(super) fn find(&self, key: &IndexKey) -> impl Iterator<Item = &Arc<Object>> + use<'_> {
        let digest = key.digest();
        let found = self.0.range(Slot { digest, key: None }..).take_while(move |(slot, _)| slot.digest == digest);
        let key = key.clone();
        found.map(|(_, object)| object).filter(move |object| key.holds(object))
    }

    /// Puts `new` in the place of `old`.
    pub(super) fn replace(&mut self, old: Option<&Object>, new: Option<&Arc<Object>>) {
        let mut stale = sorted(old);
        for digest in sorted(new.map(|object| &**object)) {
            stale.retain(|known| *known != digest);
            if let Some(object) = new {
                self.0.insert(Slot { digest, key: Some(object.shared_key().clone()) }, object.clone());
            }
        }
        let Some(old) = old else { return };
        for digest in stale {
            self.0.remove(&Slot { digest, key: Some(old.shared_key().clone()) });
        }
    }
}

fn sorted(object: Option<&Object>) -> Vec<u64> {
    let mut all: Vec<u64> = object.into_iter().flat_map(object_digests).collect();
    all.sort_unstable();
    all.dedup();
    all
}
