//! The status of a claim.

use k8s_openapi::api::core::v1::PersistentVolumeClaimStatus;

use crate::plan::{Standing, View};

/// The status to write: the phase, and of a bound claim what its volume offers.
pub(crate) fn status(view: &View) -> PersistentVolumeClaimStatus {
    let mut status = view.claim.status.clone().unwrap_or_default();
    match view.standing() {
        Standing::Lost(_) => {
            status.phase = Some("Lost".to_owned());
            status.access_modes = None;
            status.capacity = None;
        }
        Standing::Bound => {
            let spec = view.named.as_ref().and_then(|volume| volume.spec.as_ref());
            status.phase = Some("Bound".to_owned());
            status.access_modes = spec.and_then(|spec| spec.access_modes.clone());
            status.capacity = spec.and_then(|spec| spec.capacity.clone());
        }
        _ => {}
    }
    status
}

/// Whether the status already says what is.
pub(crate) fn is_current(view: &View) -> bool {
    view.claim.status.as_ref() == Some(&status(view))
}
