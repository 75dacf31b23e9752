//! Which claims a pod uses.

use k8s_openapi::api::core::v1::{Pod, Volume};

/// The names of the claims a pod mounts, those it brings along itself among them.
pub fn claims_of(pod: &Pod) -> impl Iterator<Item = String> + '_ {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(move |volume| claim_of(name, volume))
}

/// Whether a pod mounts the claim of that name.
pub fn uses(pod: &Pod, claim: &str) -> bool {
    claims_of(pod).any(|name| name == claim)
}

fn claim_of(pod: &str, volume: &Volume) -> Option<String> {
    match &volume.persistent_volume_claim {
        Some(source) => Some(source.claim_name.clone()),
        None => volume.ephemeral.as_ref().map(|_| format!("{pod}-{}", volume.name)),
    }
}
