//! Which claims a change of something else concerns.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::PERSISTENT_VOLUME_CLAIMS;
use sampan_core::store::{IndexKey, Snapshot};
use sampan_storage::{claims_of, selected_node};

/// The claims that wait for something: a change of any class may be what they wait for.
pub(crate) fn pending(_class: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    waiting(snapshot).map(|claim| claim.key().clone()).collect()
}

/// The claim a volume is held for; of a free volume, the claims that wait.
pub(crate) fn by_volume(volume: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let Ok(typed) = volume.decode::<PersistentVolume>() else { return Vec::new() };
    let held = typed.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let key = held.and_then(|held| Some((held.namespace.as_deref()?, held.name.as_deref()?)));
    match key {
        Some((namespace, name)) => vec![ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, namespace, name)],
        None => pending(volume, snapshot),
    }
}

/// The claims whose volume is to be made on a node.
pub(crate) fn by_node(node: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let is_meant = |claim: &PersistentVolumeClaim| selected_node(claim) == Some(&*node.key().name);
    let claims = waiting(snapshot).filter(|claim| claim.decode().is_ok_and(|claim| is_meant(&claim)));
    claims.map(|claim| claim.key().clone()).collect()
}

/// The claims a pod uses that are being deleted, or that wait and say for whom.
pub(crate) fn by_pod(pod: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    if snapshot.count(PERSISTENT_VOLUME_CLAIMS) == 0 {
        return Vec::new();
    }
    let (Ok(typed), Some(namespace)) = (pod.decode::<Pod>(), pod.key().namespace.as_deref()) else { return Vec::new() };
    let claims = claims_of(&typed).map(|name| ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, namespace, &name));
    claims.filter(|key| snapshot.get(key).is_some_and(|claim| claim.metadata().is_terminating())).collect()
}

fn waiting(snapshot: &Snapshot) -> impl Iterator<Item = &Object> {
    let index = IndexKey::Field { resource: PERSISTENT_VOLUME_CLAIMS, field: "status.phase", value: "Pending".into() };
    let found: Vec<&Object> = snapshot.index(&index).map(|claim| &**claim).collect();
    found.into_iter()
}
