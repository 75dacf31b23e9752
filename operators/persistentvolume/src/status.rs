//! The status of a volume.

use k8s_openapi::api::core::v1::PersistentVolumeStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sampan_core::Timestamp;

use crate::plan::{Standing, View};

/// The status to write: the phase, since when, and of a volume nobody can reclaim why.
pub(crate) fn status(view: &View) -> PersistentVolumeStatus {
    let mut status = view.volume.status.clone().unwrap_or_default();
    let standing = view.standing();
    let phase = match standing {
        Standing::Available => "Available",
        Standing::Bound => "Bound",
        Standing::Released => "Released",
        Standing::Failed => "Failed",
        _ => return status,
    };
    if status.phase.as_deref() != Some(phase) {
        let since = Timestamp::from_second(view.now.as_second()).unwrap_or(view.now);
        status.last_phase_transition_time = Some(Time(since));
    }
    status.phase = Some(phase.to_owned());
    status.message = (standing == Standing::Failed).then(|| view.failure().1);
    status
}

/// Whether the status already says what is.
pub(crate) fn is_current(view: &View) -> bool {
    view.volume.status.as_ref() == Some(&status(view))
}
