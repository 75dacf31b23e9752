//! How a claim and a volume name each other.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};

use crate::{BIND_COMPLETED, BOUND_BY_CONTROLLER, SELECTED_NODE, annotation};

/// The volume a claim names, by itself or by its user's wish.
pub fn bound_volume(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

/// Whether the claim was bound once. It then never goes to another volume.
pub fn is_bind_completed(claim: &PersistentVolumeClaim) -> bool {
    claim.metadata.annotations.as_ref().is_some_and(|it| it.contains_key(BIND_COMPLETED))
}

/// The node the claim's first pod runs on, where one was chosen.
pub fn selected_node(claim: &PersistentVolumeClaim) -> Option<&str> {
    Some(annotation(claim.metadata.annotations.as_ref(), SELECTED_NODE)).filter(|node| !node.is_empty())
}

/// Whether the volume is reserved for or bound to this very claim, and not to another that had its name.
pub fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(held) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else { return false };
    let is_named = held.name == claim.metadata.name && held.namespace == claim.metadata.namespace;
    let uid = held.uid.as_deref().unwrap_or_default();
    is_named && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

/// The volume, held for the claim and no other. Where a user had reserved it by name, that is kept in mind.
pub fn reserved_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut reserved = volume.clone();
    let spec = reserved.spec.get_or_insert_default();
    if spec.claim_ref.is_none() {
        let annotations = reserved.metadata.annotations.get_or_insert_default();
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    spec.claim_ref = Some(reference(claim));
    reserved
}

fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: claim.metadata.name.clone(),
        namespace: claim.metadata.namespace.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}
