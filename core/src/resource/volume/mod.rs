//! Storage that outlives pods: the claims to it, and the volumes themselves.

pub mod claim;
mod persistent_volume;

use serde_json::Value;

use super::ResourceDefinition;
use super::check::{Faults, Field};
use super::read::{items, text};

pub use claim::PERSISTENT_VOLUME_CLAIMS;
pub use persistent_volume::PERSISTENT_VOLUMES;

/// What keeps a claim that pods use.
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// What keeps a volume that a claim is bound to.
pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// The provisioner of volumes on the disks of nodes, and what keeps such a volume until its node has removed the data.
pub const LOCAL_PATH: &str = "sampan.dev/local-path";
/// On a volume, the node whose disk holds its data. A node asks for its volumes by `spec.nodeName`, as it does for pods.
pub const NODE_ANNOTATION: &str = "sampan.dev/node";
/// On a Node, the folder it keeps volumes in.
pub const FOLDER_ANNOTATION: &str = "sampan.dev/volumes-folder";

/// The annotation that named a storage class before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// How a volume may be used, each with its short form, in the order in which short forms are shown.
const ACCESS_MODES: [(&str, &str); 4] =
    [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];

/// Claims and volumes.
pub(super) fn definitions() -> [ResourceDefinition; 2] {
    [claim::definition(), persistent_volume::definition()]
}

fn validate_access_modes(modes: &Field<'_>, faults: &mut Faults) {
    const KNOWN: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    for mode in modes.items() {
        faults.one_of_if_set(&Field { path: modes.path.clone(), ..mode }, &KNOWN);
    }
    let uses = |wanted: bool| {
        modes.items().any(|mode| KNOWN.contains(&mode.text()) && (mode.text() == "ReadWriteOncePod") == wanted)
    };
    if uses(true) && uses(false) {
        faults.forbidden(modes, "may not use ReadWriteOncePod with other access modes");
    }
}

fn validate_volume_mode(mode: &Field<'_>, faults: &mut Faults) {
    faults.one_of_if_set(mode, &["Block", "Filesystem"]);
}

/// The access modes at a JSON pointer in their short forms.
fn shown_access_modes(object: &Value, pointer: &str) -> String {
    let has = |mode: &str| items(object, pointer).any(|it| it == mode);
    let shown = ACCESS_MODES.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short);
    shown.collect::<Vec<_>>().join(",")
}

/// The storage class an object names.
fn class_name(object: &Value) -> &str {
    let annotations = object.pointer("/metadata/annotations");
    let annotated = annotations.and_then(|it| it.get(CLASS_ANNOTATION)).and_then(Value::as_str);
    annotated.unwrap_or_else(|| text(object, "/spec/storageClassName"))
}

/// The phase, or that the object is going away.
fn shown_phase(object: &Value) -> &str {
    match text(object, "/metadata/deletionTimestamp") {
        "" => text(object, "/status/phase"),
        _ => "Terminating",
    }
}

/// The text at a JSON pointer, or `<unset>`.
fn or_unset<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("<unset>")
}
