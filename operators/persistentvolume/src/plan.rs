//! A volume, its claim, and what follows from that.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use sampan_core::Timestamp;
use sampan_core::object::ObjectKey;
use sampan_core::resource::PERSISTENT_VOLUME_CLAIMS;
use sampan_core::resource::volume::{LOCAL_PATH, VOLUME_PROTECTION};
use sampan_storage::{BOUND_BY_CONTROLLER, PROVISIONED_BY, annotation, bound_volume};

/// One look at a volume.
pub struct View {
    pub(crate) volume: Arc<PersistentVolume>,
    /// The claim that has the name the volume is held for.
    pub(crate) claim: Option<Arc<PersistentVolumeClaim>>,
    pub(crate) now: Timestamp,
}

/// Where a volume stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No claim has it, or one that is not there yet.
    Available,
    /// It is held for a claim that does not name it yet.
    Reserved,
    /// Its claim names it.
    Bound,
    /// Its claim is bound to another volume.
    Misbound,
    /// Its claim is gone.
    Released,
    /// Its claim is gone, and it is to be deleted.
    Reclaiming,
    /// Its claim is gone, and nobody can do with it what its policy says.
    Failed,
    /// It is being deleted, and its claim is still there.
    InUse,
    /// It is being deleted, and no claim uses it.
    Releasing,
    /// It is being deleted, and only its node or others keep it.
    Held,
}

/// The claim a volume is held for.
pub(crate) fn holder(volume: &PersistentVolume) -> Option<ObjectKey> {
    let held = reference(volume)?;
    Some(ObjectKey::namespaced(PERSISTENT_VOLUME_CLAIMS, held.namespace.as_deref()?, held.name.as_deref()?))
}

fn reference(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

impl View {
    pub(crate) fn phase(&self) -> &str {
        self.volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }

    pub(crate) fn policy(&self) -> &str {
        let policy = self.volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
        policy.unwrap_or("Retain")
    }

    fn provisioner(&self) -> &str {
        annotation(self.volume.metadata.annotations.as_ref(), PROVISIONED_BY)
    }

    /// Where the volume stands: a function of the view alone.
    pub(crate) fn standing(&self) -> Standing {
        let standing = self.standing_alive();
        if self.volume.metadata.deletion_timestamp.is_none() {
            return standing;
        }
        let is_protected = self.volume.metadata.finalizers.iter().flatten().any(|it| it == VOLUME_PROTECTION);
        match standing {
            Standing::Bound if is_protected => Standing::InUse,
            _ if is_protected => Standing::Releasing,
            _ => Standing::Held,
        }
    }

    fn standing_alive(&self) -> Standing {
        let Some(held) = reference(&self.volume) else { return Standing::Available };
        let Some(uid) = held.uid.as_deref().filter(|uid| !uid.is_empty()) else { return Standing::Available };
        let Some(claim) = self.claim.as_ref().filter(|claim| claim.metadata.uid.as_deref() == Some(uid)) else {
            return self.standing_left();
        };
        match bound_volume(claim) {
            None => Standing::Reserved,
            Some(name) if Some(name) == self.volume.metadata.name.as_deref() => Standing::Bound,
            Some(_) if self.provisioner() == LOCAL_PATH && self.policy() == "Delete" => self.standing_left(),
            Some(_) => Standing::Misbound,
        }
    }

    /// Of a volume whose claim is gone. That it is left over is said before anything is done about it.
    fn standing_left(&self) -> Standing {
        let is_told = matches!(self.phase(), "Released" | "Failed");
        match (self.policy(), self.provisioner()) {
            ("Delete", LOCAL_PATH) if is_told => Standing::Reclaiming,
            ("Delete", "") | ("Recycle", _) if is_told => Standing::Failed,
            _ => Standing::Released,
        }
    }

    /// Why nobody can do with the volume what its policy says: the reason and the message.
    pub(crate) fn failure(&self) -> (&'static str, String) {
        let name = self.volume.metadata.name.as_deref().unwrap_or_default();
        match self.policy() {
            "Recycle" => ("VolumeFailedRecycle", "No recycler plugin found for the volume!".to_owned()),
            _ => (
                "VolumeFailedDelete",
                format!("error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched"),
            ),
        }
    }

    /// The volume, held for nobody any more; where a user had reserved it by name, that stays.
    pub(crate) fn unbound(&self) -> PersistentVolume {
        let mut unbound = (*self.volume).clone();
        let is_by_controller = !annotation(unbound.metadata.annotations.as_ref(), BOUND_BY_CONTROLLER).is_empty();
        if let Some(annotations) = unbound.metadata.annotations.as_mut() {
            annotations.remove(BOUND_BY_CONTROLLER);
        }
        let spec = unbound.spec.get_or_insert_default();
        match spec.claim_ref.as_mut() {
            Some(held) if !is_by_controller => held.uid = None,
            _ => spec.claim_ref = None,
        }
        unbound
    }
}
