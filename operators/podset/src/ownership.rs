//! Who controls an object, and how it is taken and let go of.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sampan_core::operator::Kind;

/// The reference by which `owner` manages an object.
pub fn controller_reference<K: Kind>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.into(),
        kind: K::KIND.into(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether anybody controls the object.
pub fn is_controlled<K: Kind>(object: &K) -> bool {
    controllers(object).next().is_some()
}

/// Whether `owner` controls the object.
pub fn controls<O: Kind, K: Kind>(owner: &O, object: &K) -> bool {
    controllers(object).any(|reference| is_by(reference, owner))
}

/// The object, controlled by `owner`.
pub fn adopted<O: Kind, K: Kind>(object: &K, owner: &O) -> K {
    let mut object = object.clone();
    object.meta_mut().owner_references.get_or_insert_default().push(controller_reference(owner));
    object
}

/// The object, owned by `owner` no more.
pub fn released<O: Kind, K: Kind>(object: &K, owner: &O) -> K {
    let mut object = object.clone();
    let references = object.meta_mut().owner_references.iter_mut();
    references.for_each(|references| references.retain(|reference| !is_by(reference, owner)));
    object
}

fn controllers<K: Kind>(object: &K) -> impl Iterator<Item = &OwnerReference> {
    object.meta().owner_references.iter().flatten().filter(|reference| reference.controller == Some(true))
}

fn is_by<O: Kind>(reference: &OwnerReference, owner: &O) -> bool {
    owner.meta().uid.as_ref() == Some(&reference.uid)
}
