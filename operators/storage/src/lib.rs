//! What the operators of claims and volumes and the scheduler share: how claims and volumes name each other, and which
//! volume fits which claim. A library, not an operator.

mod binding;
mod matching;
mod using;

pub use binding::{bound_volume, is_bind_completed, is_bound_to, reserved_for, selected_node};
pub use matching::{best, fits, shortcoming};
pub use using::{claims_of, uses};

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

/// On a claim: it is bound, and will never be to another volume.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On a claim or a volume: an operator chose the other, not a user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a volume: who made it, and removes it.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a claim: the node its first pod runs on.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// On a claim: who is to make its volume.
pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The provisioner of classes whose volumes are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Where the class of a claim or volume stood once; it still counts first.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The value of an annotation; empty where there is none.
pub fn annotation<'a>(annotations: Option<&'a BTreeMap<String, String>>, name: &str) -> &'a str {
    annotations.and_then(|it| it.get(name)).map(String::as_str).unwrap_or_default()
}

/// The class a claim asks for; empty for volumes without one.
pub fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    match annotation(claim.metadata.annotations.as_ref(), OLD_CLASS) {
        "" => claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default(),
        class => class,
    }
}

/// The class a volume is of; empty for none.
pub fn volume_class(volume: &PersistentVolume) -> &str {
    match annotation(volume.metadata.annotations.as_ref(), OLD_CLASS) {
        "" => volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default(),
        class => class,
    }
}

/// Whether claims of the class get their volume only with their first pod.
pub fn waits_for_consumer(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}
