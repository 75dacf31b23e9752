//! PersistentVolumes: pieces of storage in the cluster.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    NODE_ANNOTATION, class_name, or_unset, shown_access_modes, shown_phase, validate_access_modes, validate_volume_mode,
};
use crate::object::{FieldPath, ResourceType, names};
use crate::resource::check::{Faults, Field};
use crate::resource::equal::same;
use crate::resource::fill::{clear, fill, object_at, present, set};
use crate::resource::pod::{validate_node_selector, validate_volume_source};
use crate::resource::read::text;
use crate::resource::storage::validate_driver_name;
use crate::resource::table::age;
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const PERSISTENT_VOLUMES: ResourceType = ResourceType::new("", "persistentvolumes");

/// Where a volume's data may be, in the order in which the first one counts.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];
/// The secrets a driver of the container storage interface may be given.
const SECRETS: [&str; 4] =
    ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];

struct VolumeStrategy;

/// What a PersistentVolume is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.PersistentVolume");
    ResourceDefinition {
        short_names: &["pv"],
        scope: Scope::Cluster,
        has_status: true,
        selectable: &[("spec.nodeName", node_of)],
        // Volumes that are free are found by the one, what a claim held by the other.
        selectable_paths: vec!["status.phase", "spec.claimRef.uid"],
        ..ResourceDefinition::plain(PERSISTENT_VOLUMES, "PersistentVolume", "persistentvolume", version, VolumeStrategy)
    }
}

/// The node whose disk holds the volume's data, where it is on one.
fn node_of(volume: &Value) -> String {
    let annotations = volume.pointer("/metadata/annotations");
    annotations.and_then(|it| it.get(NODE_ANNOTATION)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Strategy for VolumeStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object_at(object, "spec") {
            fill(spec, "persistentVolumeReclaimPolicy", "Retain");
            fill(spec, "volumeMode", "Filesystem");
            if let Some(host_path) = present(spec, "hostPath")
                && host_path.get("type").is_none_or(Value::is_null)
            {
                set(host_path, "type", "");
            }
        }
    }

    fn prepare_create(&self, object: &mut Value, cx: &WriteContext<'_>) {
        let since = Timestamp::from_second(cx.now.as_second()).unwrap_or(cx.now).to_string();
        set(object, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": since}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        if spec.at("accessModes").count() == 0 {
            faults.required(&spec.at("accessModes"), "");
        }
        validate_access_modes(&spec.at("accessModes"), &mut faults);
        validate_capacity(&spec.at("capacity"), &mut faults);
        let policy = spec.at("persistentVolumeReclaimPolicy");
        faults.one_of_if_set(&policy, &["Delete", "Recycle", "Retain"]);
        validate_affinity(&spec.at("nodeAffinity"), &mut faults);
        validate_only_source(&spec, &mut faults);
        if spec.at("hostPath").at("path").text() == "/" && policy.text() == "Recycle" {
            faults.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
        }
        faults.optional_rule(&spec.at("storageClassName"), names::dns_1123_subdomain);
        validate_volume_mode(&spec.at("volumeMode"), &mut faults);
        validate_attributes_class(&spec, &mut faults);
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let (spec, before) = (Field::root(object).at("spec"), Field::root(old).at("spec"));
        if !same(&source(&spec, &before), &source(&before, &before)) {
            let path = spec.path.child("persistentvolumesource");
            faults
                .forbidden(&Field { path, ..spec.clone() }, "spec.persistentvolumesource is immutable after creation");
        }
        let at_root = |name: &'static str| Field { path: FieldPath::new(name), ..spec.at(name) };
        faults.immutable(&at_root("volumeMode"), &before.at("volumeMode"));
        let affinity = before.at("nodeAffinity");
        if affinity.is_set() {
            faults.immutable(&at_root("nodeAffinity"), &affinity);
        }
        let class = spec.at("volumeAttributesClassName");
        if before.at("volumeAttributesClassName").is_set() && !class.is_set() {
            faults.forbidden(&class, "update from non-nil value to nil is forbidden");
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Capacity", "How much it holds."),
            Column::text("Access Modes", "How it may be used."),
            Column::text("Reclaim Policy", "What becomes of it when its claim goes."),
            Column::text("Status", "Whether it is free, bound, or left over."),
            Column::text("Claim", "The claim it is bound to."),
            Column::text("StorageClass", "The class of storage it belongs to."),
            Column::text("VolumeAttributesClass", "The class of attributes it has."),
            Column::text("Reason", "Why it is in this state."),
            Column::age(),
            Column::text("VolumeMode", "Whether it is a file system or a block device.").wide(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let claim = object.pointer("/spec/claimRef").filter(|claim| claim.is_object());
        let claim = claim.map(|claim| format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")));
        vec![
            text(object, "/spec/capacity/storage").into(),
            shown_access_modes(object, "/spec/accessModes").into(),
            text(object, "/spec/persistentVolumeReclaimPolicy").into(),
            shown_phase(object).into(),
            claim.unwrap_or_default().into(),
            class_name(object).into(),
            or_unset(object, "/spec/volumeAttributesClassName").into(),
            text(object, "/status/reason").into(),
            age(object, now),
            or_unset(object, "/spec/volumeMode").into(),
        ]
    }
}

fn validate_capacity(capacity: &Field<'_>, faults: &mut Faults) {
    if capacity.count() == 0 {
        faults.required(capacity, "");
    }
    if !capacity.at("storage").is_set() || capacity.count() > 1 {
        let (path, value) = (capacity.path.clone(), capacity.value.clone());
        faults.errors.push(crate::object::FieldError::not_supported(path, value, &["storage"]));
    }
    for (_, amount) in capacity.entries() {
        match amount.quantity() {
            Some(quantity) if quantity.is_negative() => {
                faults.invalid(&amount, "must be a valid resource quantity");
                faults.invalid(&amount, "must be greater than zero");
            }
            Some(quantity) if quantity.is_zero() => faults.invalid(&amount, "must be greater than zero"),
            _ => {}
        }
    }
}

fn validate_affinity(affinity: &Field<'_>, faults: &mut Faults) {
    let required = affinity.at("required");
    match (affinity.is_set(), required.is_set()) {
        (true, true) => validate_node_selector(&required, faults),
        (true, false) => faults.required(&required, "must specify required node constraints"),
        (false, _) => {}
    }
}

fn validate_only_source(spec: &Field<'_>, faults: &mut Faults) {
    let found: Vec<(&str, Field<'_>)> =
        SOURCES.iter().map(|name| (*name, spec.at(name))).filter(|(_, source)| source.is_set()).collect();
    let Some(((name, first), others)) = found.split_first() else {
        return faults.required(spec, "must specify a volume type");
    };
    match *name {
        "csi" => validate_csi(first, faults),
        "local" => {
            faults.required_rule(&first.at("path"), names::path_without_backsteps);
            if !spec.at("nodeAffinity").is_set() {
                faults.required(&spec.at("nodeAffinity"), "Local volume requires node affinity");
            }
        }
        name => validate_volume_source(name, first, faults),
    }
    for (_, other) in others {
        faults.forbidden(other, "may not specify more than 1 volume type");
    }
}

fn validate_csi(csi: &Field<'_>, faults: &mut Faults) {
    validate_driver_name(&csi.at("driver"), faults);
    faults.required_text(&csi.at("volumeHandle"));
    for secret in csi.which(SECRETS) {
        faults.required_rule(&secret.at("name"), names::dns_1123_subdomain);
        faults.required_rule(&secret.at("namespace"), names::dns_1123_label);
    }
}

fn validate_attributes_class(spec: &Field<'_>, faults: &mut Faults) {
    let class = spec.at("volumeAttributesClassName");
    if !class.is_set() {
        return;
    }
    if class.text().is_empty() {
        faults.required(&class, "an empty string is disallowed");
    } else {
        faults.rule(&class, names::dns_1123_subdomain);
    }
    if !spec.at("csi").is_set() {
        faults.required(&spec.at("csi"), "has to be specified when using volumeAttributesClassName");
    }
}

/// Where the data is; the secret to expand it with may be given later.
fn source(spec: &Field<'_>, before: &Field<'_>) -> Value {
    let fields = SOURCES.iter().map(|name| ((*name).to_owned(), spec.at(name).value.clone()));
    let mut source = Value::Object(fields.collect());
    if !before.at("csi").at("controllerExpandSecretRef").is_set()
        && let Some(csi) = present(&mut source, "csi")
    {
        clear(csi, "controllerExpandSecretRef");
    }
    source
}
