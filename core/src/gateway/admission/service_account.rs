//! A pod runs as a service account that exists: its namespace's `default` where it names none.

use serde_json::Value;

use super::node_restriction::MIRROR;
use super::{Admission, AdmissionRequest};
use crate::object::ObjectKey;
use crate::resource::fill::{object_at, set};
use crate::resource::read::{text, texts};
use crate::resource::{PODS, SERVICE_ACCOUNTS};
use crate::status::Status;

/// A pod runs as a service account that exists: its namespace's `default` where it names none.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceAccountAdmission;

impl Admission for ServiceAccountAdmission {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PODS)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        // What a node runs by itself acts as nobody.
        if texts(object, "/metadata/annotations").any(|(name, _)| name == MIRROR) {
            return Ok(());
        }
        let (Some(namespace), Some(spec)) = (request.namespace(), object_at(object, "spec")) else { return Ok(()) };
        let account = match text(spec, "/serviceAccountName") {
            "" => "default".to_owned(),
            named => named.to_owned(),
        };
        set(spec, "serviceAccountName", account.clone());
        set(spec, "serviceAccount", account.clone());
        if request.snapshot.get(&ObjectKey::namespaced(SERVICE_ACCOUNTS, namespace, &account)).is_some() {
            return Ok(());
        }
        let why =
            format!("error looking up service account {namespace}/{account}: serviceaccount {account:?} not found");
        Err(request.forbidden(object, why))
    }
}
