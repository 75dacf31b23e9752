//! ManifestFiles tell what Sampan made of the manifests directory: nobody else says so.

use serde_json::Value;

use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::gateway::Unprepared;
use crate::manifest::MANIFEST_FILES;
use crate::store::Origin;

/// What of a record is the directory's alone: which file it is, and which objects came of it. After a restart these are pruned
/// by what it says. The rest is people's: an annotation confirms what was held back.
const OWN: [&str; 2] = ["/spec", "/status"];

/// A ManifestFile is written by whoever keeps the directory. That it is, no client says: it is where the write comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct ManifestFileRecords;

impl Admission for ManifestFileRecords {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && request.mutation.target.resource() == MANIFEST_FILES
            && !matches!(request.mutation.origin, Origin::System { .. })
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        match request.old {
            Some(old) if OWN.iter().all(|field| old.pointer(field) == object.pointer(field)) => Ok(Verdict::default()),
            _ => Err(request
                .forbidden(object, "manifest files are told of by Sampan, as it finds them in its directory")
                .into()),
        }
    }
}
