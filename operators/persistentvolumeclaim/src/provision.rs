//! Volumes made for claims, on the disk of the node their first pod runs on.

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_core::resource::volume::{FOLDER_ANNOTATION, LOCAL_PATH, NODE_ANNOTATION, VOLUME_PROTECTION};
use sampan_storage::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER, annotation, claim_class,
    reserved_for,
};

use crate::plan::{Amendment, View};

/// Names the host of a node among its labels.
const HOST_LABEL: &str = "kubernetes.io/hostname";
/// Where the provisioner of a claim stood once; programs still look there.
const OLD_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";

/// Why no volume can be made for the claim.
pub(crate) fn obstacle(view: &View) -> Option<String> {
    let spec = view.claim.spec.as_ref()?;
    if spec.selector.is_some() {
        return Some("claim.Spec.Selector is not supported".to_owned());
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Some("block volumes are not supported".to_owned());
    }
    if spec.data_source_ref.is_some() || spec.data_source.is_some() {
        return Some("data sources are not supported".to_owned());
    }
    let Some(node) = &view.node else {
        return Some("no node was specified: use volumeBindingMode WaitForFirstConsumer".to_owned());
    };
    let name = node.metadata.name.as_deref().unwrap_or_default();
    folder(node).is_empty().then(|| format!("node {name:?} does not say where it keeps volumes"))
}

fn folder(node: &Node) -> &str {
    annotation(node.metadata.annotations.as_ref(), FOLDER_ANNOTATION)
}

/// The volume for the claim, held for it already.
pub(crate) fn volume(view: &View) -> Option<PersistentVolume> {
    let (node, class) = (view.node.as_ref()?, view.class.as_ref()?);
    let spec = view.claim.spec.as_ref()?;
    let name = format!("pvc-{}", view.claim.metadata.uid.as_deref()?);
    let annotations = [(PROVISIONED_BY, LOCAL_PATH), (NODE_ANNOTATION, node.metadata.name.as_deref()?)];
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let volume = PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            annotations: Some(annotations.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            finalizers: Some(vec![VOLUME_PROTECTION.to_owned(), LOCAL_PATH.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes.clone(),
            capacity: requests.map(|it| it.iter().filter(|(name, _)| *name == "storage").map(clone).collect()),
            host_path: Some(HostPathVolumeSource {
                path: format!("{}/{name}", folder(node)),
                type_: Some("DirectoryOrCreate".to_owned()),
            }),
            mount_options: class.mount_options.clone(),
            node_affinity: Some(affinity(node)),
            persistent_volume_reclaim_policy: class.reclaim_policy.clone(),
            storage_class_name: Some(claim_class(&view.claim).to_owned()),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    };
    let mut reserved = reserved_for(&volume, &view.claim);
    reserved.metadata.annotations.get_or_insert_default().remove(BOUND_BY_CONTROLLER);
    Some(reserved)
}

fn clone<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

/// The one node the volume is on.
fn affinity(node: &Node) -> VolumeNodeAffinity {
    let host = annotation(node.metadata.labels.as_ref(), HOST_LABEL);
    let (host, name) = (host.to_owned(), node.metadata.name.clone().unwrap_or_default());
    let is = |key: &str, value: String| {
        Some(vec![NodeSelectorRequirement {
            key: key.to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![value]),
        }])
    };
    let term = match host.is_empty() {
        true => NodeSelectorTerm { match_fields: is("metadata.name", name), match_expressions: None },
        false => NodeSelectorTerm { match_expressions: is(HOST_LABEL, host), match_fields: None },
    };
    VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: vec![term] }) }
}

/// The claim, bound to a volume for good.
pub(crate) fn bound(claim: &PersistentVolumeClaim, volume: &str) -> PersistentVolumeClaim {
    let mut bound = claim.clone();
    let spec = bound.spec.get_or_insert_default();
    let annotations = bound.metadata.annotations.get_or_insert_default();
    if spec.volume_name.as_deref() != Some(volume) {
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
    spec.volume_name = Some(volume.to_owned());
    bound
}

/// The claim with what it lacks before it can get a volume.
pub(crate) fn amended(claim: &PersistentVolumeClaim, amendment: &Amendment) -> PersistentVolumeClaim {
    let mut amended = claim.clone();
    let annotations = amended.metadata.annotations.get_or_insert_default();
    match amendment {
        Amendment::Class(class) => amended.spec.get_or_insert_default().storage_class_name = Some(class.clone()),
        Amendment::Provisioner(provisioner) => {
            for name in [STORAGE_PROVISIONER, OLD_STORAGE_PROVISIONER] {
                annotations.insert(name.to_owned(), provisioner.clone());
            }
        }
        Amendment::NoNode => drop(annotations.remove(SELECTED_NODE)),
    }
    amended
}
