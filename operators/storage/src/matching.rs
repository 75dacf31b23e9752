//! Which volume a claim gets: the one reserved for it, else of those that fit the smallest.

use std::borrow::Borrow;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use sampan_core::object::Quantity;
use sampan_core::object::selector::Selector;

use crate::{claim_class, is_bound_to, volume_class};

/// The volume a claim gets of those `volumes`: one that is reserved for it; else, of those that are free, fit, and are
/// `acceptable`, one with the fewest access modes, and of those the smallest.
pub fn best<V: Borrow<PersistentVolume>>(
    claim: &PersistentVolumeClaim,
    volumes: impl IntoIterator<Item = V>,
    acceptable: impl Fn(&PersistentVolume) -> bool,
) -> Option<V> {
    let mut chosen: Option<(Rank, V)> = None;
    for volume in volumes {
        let held: &PersistentVolume = volume.borrow();
        let is_reserved = is_bound_to(held, claim);
        let suits = if is_reserved { is_large_enough(held, claim) } else { fits(held, claim) && acceptable(held) };
        let rank = Rank::of(held, is_reserved);
        if suits && !is_going(held) && chosen.as_ref().is_none_or(|(best, _)| rank < *best) {
            chosen = Some((rank, volume));
        }
    }
    chosen.map(|(_, volume)| volume)
}

/// Whether a free volume is what a claim asks for.
pub fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let is_free = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none());
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    is_free
        && phase == Some("Available")
        && !is_going(volume)
        && shortcoming(volume, claim).is_none()
        && is_selected(volume, claim)
}

/// Why a volume a user names for a claim is not what the claim asks for, in the words of Kubernetes.
pub fn shortcoming(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    if !is_large_enough(volume, claim) {
        return Some("requested PV is too small");
    }
    if claim_class(claim) != volume_class(volume) {
        return Some("storageClassName does not match");
    }
    if mode(claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()))
        != mode(volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()))
    {
        return Some("incompatible volumeMode");
    }
    (!offers_modes(volume, claim)).then_some("incompatible accessMode")
}

/// The order in which volumes that fit are taken: the least first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_by_choice: bool,
    modes: usize,
    size: Quantity,
    name: String,
}

impl Rank {
    fn of(volume: &PersistentVolume, is_reserved: bool) -> Self {
        Self {
            is_by_choice: !is_reserved,
            modes: modes(volume).len(),
            size: size(volume),
            name: volume.metadata.name.clone().unwrap_or_default(),
        }
    }
}

fn is_going(volume: &PersistentVolume) -> bool {
    volume.metadata.deletion_timestamp.is_some()
}

fn mode(named: Option<&str>) -> &str {
    named.unwrap_or("Filesystem")
}

fn modes(volume: &PersistentVolume) -> &[String] {
    volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

fn offers_modes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let asked = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    asked.iter().all(|mode| modes(volume).contains(mode))
}

fn is_selected(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(selector) = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return true };
    Selector::try_from(selector).is_ok_and(|selector| selector.selects(volume.metadata.labels.as_ref()))
}

fn is_large_enough(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let asked = resources.and_then(|resources| resources.requests.as_ref()?.get("storage"));
    asked.is_none_or(|asked| quantity(&asked.0) <= size(volume))
}

fn size(volume: &PersistentVolume) -> Quantity {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref());
    capacity
        .and_then(|capacity| capacity.get("storage"))
        .map_or_else(|| Quantity::from_units(0), |size| quantity(&size.0))
}

/// An amount that was validated when it was stored.
fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|_| Quantity::from_units(0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, size: &str, spec: &Value) -> PersistentVolume {
        let mut value = json!({"metadata": {"name": name, "labels": {"disk": name}}, "status": {"phase": "Available"},
            "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}});
        value["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    fn claim(spec: &Value) -> PersistentVolumeClaim {
        let mut value = json!({"metadata": {"name": "data", "namespace": "default", "uid": "u"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
        value["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    fn chosen(claim_spec: &Value, volumes: &[PersistentVolume]) -> Option<String> {
        best(&claim(claim_spec), volumes, |_| true).and_then(|volume| volume.metadata.name.clone())
    }

    #[test]
    fn a_claim_gets_the_smallest_volume_that_fits() {
        let volumes =
            [volume("huge", "9Gi", &json!({})), volume("small", "1Gi", &json!({})), volume("right", "3Gi", &json!({}))];
        assert_eq!(chosen(&json!({}), &volumes).as_deref(), Some("right"));
        assert_eq!(chosen(&json!({"selector": {"matchLabels": {"disk": "huge"}}}), &volumes).as_deref(), Some("huge"));
        assert_eq!(chosen(&json!({"storageClassName": "fast"}), &volumes), None);
        assert_eq!(chosen(&json!({"accessModes": ["ReadWriteMany"]}), &volumes), None);
        assert_eq!(chosen(&json!({"volumeMode": "Block"}), &volumes), None);
    }

    #[test]
    fn fewer_access_modes_come_before_less_size() {
        let both = json!({"accessModes": ["ReadWriteOnce", "ReadWriteMany"]});
        let volumes = [volume("shared", "2Gi", &both), volume("single", "9Gi", &json!({}))];
        assert_eq!(chosen(&json!({}), &volumes).as_deref(), Some("single"));
    }

    #[test]
    fn what_is_reserved_for_a_claim_comes_first_and_is_nobody_elses() {
        let held = |uid: &str| json!({"claimRef": {"namespace": "default", "name": "data", "uid": uid}});
        let free = volume("free", "2Gi", &json!({}));
        assert_eq!(chosen(&json!({}), &[free.clone(), volume("own", "9Gi", &held("u"))]).as_deref(), Some("own"));
        assert_eq!(chosen(&json!({}), &[free.clone(), volume("own", "9Gi", &held(""))]).as_deref(), Some("own"));
        assert_eq!(chosen(&json!({}), &[free, volume("past", "9Gi", &held("other"))]).as_deref(), Some("free"));
    }
}
