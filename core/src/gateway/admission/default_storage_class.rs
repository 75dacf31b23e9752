//! A claim that names no storage class gets the cluster's default.

use serde_json::Value;

use super::{Admission, AdmissionRequest};
use crate::object::Object;
use crate::resource::fill::{object_at, set};
use crate::resource::{PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES};
use crate::status::Status;

/// By which a class is the default, and what it was called once.
const DEFAULT_ANNOTATIONS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// By which a claim named its class once.
const OLD_CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// A claim that names no storage class gets the cluster's default; one that names the empty one keeps it.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultStorageClass;

impl Admission for DefaultStorageClass {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PERSISTENT_VOLUME_CLAIMS)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        let annotation = object.pointer("/metadata/annotations").and_then(|it| it.get(OLD_CLASS_ANNOTATION));
        if annotation.is_some() || object.pointer("/spec/storageClassName").is_some_and(|class| !class.is_null()) {
            return Ok(());
        }
        let defaults = request.snapshot.list(STORAGE_CLASSES, None, None).map(|class| (class, class.value()));
        let defaults = defaults.filter(|(_, class)| is_default(class));
        // Of several the newest; of those of one moment the first by name.
        let age = |class: &Object| (std::cmp::Reverse(class.metadata().creation_timestamp), class.key().name.clone());
        let chosen = defaults.map(|(class, _)| class).min_by_key(|class| age(class));
        if let (Some(class), Some(spec)) = (chosen, object_at(object, "spec")) {
            set(spec, "storageClassName", &*class.key().name);
        }
        Ok(())
    }
}

fn is_default(class: &Value) -> bool {
    let annotations = class.pointer("/metadata/annotations");
    let says = |name: &&str| annotations.and_then(|it| it.get(*name)).and_then(Value::as_str) == Some("true");
    DEFAULT_ANNOTATIONS.iter().any(says)
}
