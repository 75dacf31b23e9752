//! The end of a volume the node keeps: when it is let go of, and how.

use http::Method;
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Value, json};

use super::{ApiRequest, request};
use crate::pod::claim::LOCAL_PATH;

/// What keeps a volume that is still used.
const PROTECTION: &str = "kubernetes.io/pv-protection";

/// What is to become of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Stays,
    /// It goes, and its data stays.
    Goes,
    /// It goes, and so does its data.
    GoesWithData,
}

/// What is to become of a volume. While something may still use it, it stays.
pub fn fate(volume: &PersistentVolume) -> Fate {
    let has = |name: &str| volume.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    if volume.metadata.deletion_timestamp.is_none() || !has(LOCAL_PATH) || has(PROTECTION) {
        return Fate::Stays;
    }
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    if policy == Some("Delete") { Fate::GoesWithData } else { Fate::Goes }
}

/// The merge patch by which the node lets go of a volume, as it was read.
pub fn letting_go(volume: &PersistentVolume) -> Value {
    let mut kept = volume.metadata.finalizers.clone().unwrap_or_default();
    kept.retain(|finalizer| finalizer != LOCAL_PATH);
    json!({ "metadata": { "finalizers": kept, "resourceVersion": volume.metadata.resource_version } })
}

/// Lets go of a volume.
///
/// # Errors
/// When the volume's name makes no path.
pub fn release(volume: &PersistentVolume) -> Result<ApiRequest, http::Error> {
    let path = format!("/api/v1/persistentvolumes/{}", volume.metadata.name.as_deref().unwrap_or_default());
    request(Method::PATCH, &path, "application/merge-patch+json", &letting_go(volume))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(deleted: bool, finalizers: &Value, policy: &str) -> PersistentVolume {
        let deleted = deleted.then_some("2026-01-01T00:00:00Z");
        let metadata = json!({"name": "v", "deletionTimestamp": deleted, "finalizers": finalizers});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"persistentVolumeReclaimPolicy": policy}}))
            .unwrap()
    }

    #[test]
    fn data_goes_only_with_a_deleted_volume_nobody_uses_whose_policy_says_so() {
        let ours = json!([LOCAL_PATH]);
        assert_eq!(fate(&volume(true, &ours, "Delete")), Fate::GoesWithData);
        assert_eq!(fate(&volume(true, &ours, "Retain")), Fate::Goes);
        assert_eq!(fate(&volume(false, &ours, "Delete")), Fate::Stays);
        assert_eq!(fate(&volume(true, &json!([LOCAL_PATH, PROTECTION]), "Delete")), Fate::Stays);
        assert_eq!(fate(&volume(true, &json!(["example.com/hold"]), "Delete")), Fate::Stays);
    }

    #[test]
    fn the_finalizers_of_others_stay() {
        let volume = volume(true, &json!([LOCAL_PATH, "example.com/hold"]), "Delete");
        assert_eq!(letting_go(&volume)["metadata"]["finalizers"], json!(["example.com/hold"]));
    }
}
