//! Who owns whom, in one snapshot.

use std::sync::Arc;

use sampan_core::object::{Object, ObjectKey, OwnerReference};
use sampan_core::store::{IndexKey, Snapshot};

/// The objects that name this one as owner.
pub(crate) fn dependents<'a>(object: &Object, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Object>> {
    let index = IndexKey::Owner(object.metadata().uid.clone());
    let dependents: Vec<_> = snapshot.index(&index).collect();
    dependents.into_iter()
}

/// The owners of an object that exist.
pub(crate) fn present<'a>(object: &'a Object, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Arc<Object>> {
    object.metadata().owner_references.iter().filter_map(|reference| find(reference, object, snapshot))
}

/// The object a reference means: of that uid, in the dependent's own namespace or in the cluster. An owner in another
/// namespace is none, as in Kubernetes.
///
/// A reference names a kind, the store resource types: the uid tells which of the group's few it is.
pub(crate) fn find<'a>(
    reference: &OwnerReference,
    dependent: &Object,
    snapshot: &'a Snapshot,
) -> Option<&'a Arc<Object>> {
    let group = group(reference);
    let own_namespace = &dependent.key().namespace;
    let places = [own_namespace.clone(), None];
    let places = if own_namespace.is_some() { places.as_slice() } else { &[None] };
    snapshot.resources().filter(|resource| resource.group == group).find_map(|resource| {
        places.iter().find_map(|namespace| {
            let key = ObjectKey { resource, namespace: namespace.clone(), name: reference.name.clone() };
            snapshot.get(&key).filter(|owner| owner.metadata().uid == reference.uid)
        })
    })
}

/// The API group of the owner a reference names.
pub(crate) fn group(reference: &OwnerReference) -> &str {
    reference.api_version.split_once('/').map_or("", |(group, _)| group)
}
