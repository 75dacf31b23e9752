//! What belongs to an ordinal: a pod of that name, and its claims.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::Kind;
use sampan_core::store::Snapshot;
use sampan_podset::{REVISION_LABEL, Revision, controller_reference, pod_from_template};

/// The label with the pod's own name.
const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// The label with the pod's ordinal.
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// `web-0`.
pub(crate) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", name_of(set))
}

/// The ordinal of a pod of that name; `None` where it is none of the set's.
pub(crate) fn ordinal(set: &StatefulSet, pod: &str) -> Option<i32> {
    let text = pod.strip_prefix(name_of(set))?.strip_prefix('-')?;
    let ordinal: i32 = text.parse().ok()?;
    // Neither `+1` nor `01` is how the set would write it.
    (ordinal.to_string() == text).then_some(ordinal)
}

/// The pod of an ordinal, to be created.
pub(crate) fn pod(set: &StatefulSet, ordinal: i32, revision: &Revision) -> Pod {
    let name = pod_name(set, ordinal);
    let mut pod = pod_from_template(set, &revision.template);
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(NAME_LABEL.to_owned(), name.clone());
    labels.insert(INDEX_LABEL.to_owned(), ordinal.to_string());
    labels.insert(REVISION_LABEL.to_owned(), revision.name.clone());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone()).filter(|name| !name.is_empty());
    let templates = claim_templates(set);
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| templates.iter().all(|template| name_of(template) != volume.name));
    volumes.extend(templates.iter().map(|template| volume(set, template, ordinal)));
    if volumes.is_empty() {
        spec.volumes = None;
    }
    pod
}

fn volume(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> Volume {
    let claim = PersistentVolumeClaimVolumeSource {
        claim_name: claim_name(set, template, ordinal),
        ..PersistentVolumeClaimVolumeSource::default()
    };
    Volume { name: name_of(template).to_owned(), persistent_volume_claim: Some(claim), ..Volume::default() }
}

/// What every ordinal has a claim of.
pub(crate) fn claim_templates(set: &StatefulSet) -> &[PersistentVolumeClaim] {
    set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default()
}

/// `data-web-0`.
pub(crate) fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}", name_of(template), pod_name(set, ordinal))
}

/// The sets that may have a claim of that name, where they exist: both a template's name and a set's may have dashes.
pub(crate) fn sets_of_claim(claim: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let key = claim.key();
    let Some((named, _)) = key.name.rsplit_once('-').filter(|(_, ordinal)| ordinal.parse::<u32>().is_ok()) else {
        return Vec::new();
    };
    let namespace = key.namespace.as_deref().unwrap_or_default();
    named
        .match_indices('-')
        .filter_map(|(dash, _)| named.get(dash + 1..))
        .map(|set| ObjectKey::namespaced(StatefulSet::RESOURCE, namespace, set))
        .filter(|set| snapshot.get(set).is_some())
        .collect()
}

/// The claim of an ordinal, to be created. Nobody owns it, so that it outlives pod and set.
pub(crate) fn claim(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> PersistentVolumeClaim {
    let mut claim = template.clone();
    claim.metadata.name = Some(claim_name(set, template, ordinal));
    claim.metadata.namespace.clone_from(&set.metadata.namespace);
    let selected = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    claim.metadata.labels.get_or_insert_default().extend(selected);
    claim.status = None;
    claim
}

/// Whether claims go with the set, and with pods it no longer wants.
fn retention(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
    let deletes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
    policy
        .map_or((false, false), |policy| (deletes(policy.when_deleted.as_ref()), deletes(policy.when_scaled.as_ref())))
}

/// The claim with the owners the retention policy says: the set, the pod it was scaled away from, or none of them.
pub(crate) fn retained(
    set: &StatefulSet,
    pod: &Pod,
    is_wanted: bool,
    claim: &PersistentVolumeClaim,
) -> PersistentVolumeClaim {
    let (with_set, with_pod) = retention(set);
    let by_pod = with_pod && !is_wanted;
    let by_set = with_set && !by_pod;
    let mut claim = claim.clone();
    let owners = claim.metadata.owner_references.get_or_insert_default();
    own(owners, set, by_set);
    own(owners, pod, by_pod);
    if owners.is_empty() {
        claim.metadata.owner_references = None;
    }
    claim
}

fn own<K: Kind>(owners: &mut Vec<OwnerReference>, owner: &K, is_owner: bool) {
    let uid = owner.meta().uid.as_deref().unwrap_or_default();
    let is_named = owners.iter().any(|reference| reference.uid == uid);
    if is_owner && !is_named {
        owners.push(controller_reference(owner));
    } else if !is_owner {
        owners.retain(|reference| reference.uid != uid);
    }
}

fn name_of<K: Kind>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set() -> StatefulSet {
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "s"},
            "spec": {
                "serviceName": "web", "selector": {"matchLabels": {"app": "web"}}, "volumeClaimTemplates": [claim],
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                    "containers": [{"name": "web", "image": "web:1"}],
                    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}},
            },
        }))
        .unwrap()
    }

    #[test]
    fn only_names_the_set_would_give_are_its_ordinals() {
        let check = |name, expect| assert_eq!(ordinal(&set(), name), expect, "{name}");
        check("web-0", Some(0));
        check("web-12", Some(12));
        for name in ["web", "web-", "web-01", "web-+1", "web--1x", "webb-1", "web-a-1"] {
            check(name, None);
        }
    }

    #[test]
    fn a_pod_has_its_ordinals_name_host_and_claims() {
        let template = set().spec.unwrap().template;
        let pod = pod(&set(), 3, &Revision { name: "web-x".to_owned(), template });
        let labels = pod.metadata.labels.unwrap();
        assert_eq!(labels[NAME_LABEL], "web-3");
        assert_eq!(labels[INDEX_LABEL], "3");
        assert_eq!(labels[REVISION_LABEL], "web-x");
        let spec = pod.spec.unwrap();
        assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("web-3"), Some("web")));
        let volumes = spec.volumes.unwrap();
        let claimed = volumes.iter().find(|volume| volume.name == "data").unwrap();
        assert_eq!(claimed.persistent_volume_claim.as_ref().unwrap().claim_name, "data-web-3");
        assert_eq!(volumes.len(), 2);
    }

    #[test]
    fn a_claim_goes_with_whom_the_policy_says() {
        let check = |deleted: &str, scaled: &str, is_wanted: bool, expect: &[&str]| {
            let mut set = set();
            let policy = json!({"whenDeleted": deleted, "whenScaled": scaled});
            set.spec.as_mut().unwrap().persistent_volume_claim_retention_policy = serde_json::from_value(policy).ok();
            let pod = Pod { metadata: serde_json::from_value(json!({"uid": "p"})).unwrap(), ..Pod::default() };
            let before: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "p"},
                    {"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "o"}]}}))
            .unwrap();
            let owners = retained(&set, &pod, is_wanted, &before).metadata.owner_references.unwrap_or_default();
            let uids: Vec<&str> = owners.iter().map(|owner| owner.uid.as_str()).collect();
            assert_eq!(uids, expect, "{deleted} {scaled} {is_wanted}");
        };
        check("Retain", "Retain", true, &["o"]);
        check("Retain", "Retain", false, &["o"]);
        check("Delete", "Retain", false, &["o", "s"]);
        check("Retain", "Delete", true, &["o"]);
        check("Retain", "Delete", false, &["p", "o"]);
        check("Delete", "Delete", true, &["o", "s"]);
        check("Delete", "Delete", false, &["p", "o"]);
    }
}
