//! Claims and volumes stay until nobody uses them: they are created with a finalizer that their operators take away.

use serde_json::{Value, json};

use super::{Admission, AdmissionRequest};
use crate::resource::fill::object_at;
use crate::resource::volume::{CLAIM_PROTECTION, VOLUME_PROTECTION};
use crate::resource::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};
use crate::status::Status;

/// Claims and volumes are created with a finalizer, so that none goes while it is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct StorageObjectInUseProtection;

impl Admission for StorageObjectInUseProtection {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PERSISTENT_VOLUME_CLAIMS) || request.creates(PERSISTENT_VOLUMES)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        let is_claim = request.mutation.target.resource() == PERSISTENT_VOLUME_CLAIMS;
        let finalizer = json!(if is_claim { CLAIM_PROTECTION } else { VOLUME_PROTECTION });
        let Some(metadata) = object_at(object, "metadata").and_then(Value::as_object_mut) else { return Ok(()) };
        let finalizers = metadata.entry("finalizers").or_insert(Value::Null);
        match finalizers.as_array_mut() {
            Some(others) if others.contains(&finalizer) => {}
            Some(others) => others.push(finalizer),
            None => *finalizers = json!([finalizer]),
        }
        Ok(())
    }
}
