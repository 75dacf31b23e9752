//! Who asks for a certificate is told by the API, and who grants one may do so for that signer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::access::{Attributes, Authorizer, MASTERS, ResourceAttributes, What};
use crate::gateway::Subresource;
use crate::gateway::Unprepared;
use crate::resource::CERTIFICATE_SIGNING_REQUESTS;
use crate::resource::fill::{clear, object_at, set};
use crate::resource::read::text;
use crate::status::Status;

/// What is told of who asks.
const REQUESTER: [&str; 4] = ["username", "uid", "groups", "extra"];

/// What is told by whoever signs, or will not.
const SIGNED: [&str; 2] = ["/status/certificate", "/status/conditions"];

/// A request says who made it, whatever was written into it; it is approved by who may `approve` for its signer, and the
/// certificate, or why there is none, is written into it by who may `sign` for it. In Kubernetes these are the strategy, CertificateApproval and CertificateSigning.
pub struct CertificateRequests {
    authorizer: Arc<dyn Authorizer>,
}

impl CertificateRequests {
    /// By what this authorizer says somebody may do.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }

    /// Whether who writes may do that for the signer, or for all of its domain.
    fn may(&self, request: &AdmissionRequest<'_>, verb: &str, signer: &str) -> bool {
        let identity = &request.mutation.identity;
        let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
        [signer, &format!("{domain}/*")].into_iter().any(|name| {
            let asked = ResourceAttributes {
                group: CERTIFICATE_SIGNING_REQUESTS.group,
                resource: "signers",
                name: Some(name),
                ..ResourceAttributes::default()
            };
            let what = What::Resource(asked);
            self.authorizer.authorize(request.snapshot, &Attributes { identity, verb, what }).allowed
        })
    }
}

impl Admission for CertificateRequests {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && request.mutation.target.resource() == CERTIFICATE_SIGNING_REQUESTS
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        let Some(spec) = object_at(object, "spec").filter(|_| request.creates(CERTIFICATE_SIGNING_REQUESTS)) else {
            return Ok(());
        };
        REQUESTER.iter().for_each(|field| clear(spec, field));
        let identity = &request.mutation.identity;
        set(spec, "username", identity.user.clone());
        set(spec, "groups", json!(identity.groups));
        if !identity.uid.is_empty() {
            set(spec, "uid", identity.uid.clone());
        }
        if !identity.extra.is_empty() {
            set(spec, "extra", json!(identity.extra));
        }
        Ok(())
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        let verb = match request.mutation.target.subresource {
            Subresource::Named("approval") => "approve",
            Subresource::Status if SIGNED.into_iter().any(|field| changes(request, object, field)) => "sign",
            _ => return Ok(Verdict::default()),
        };
        let signer = text(object, "/spec/signerName");
        match request.mutation.identity.is_in(MASTERS) || self.may(request, verb, signer) {
            true => Ok(Verdict::default()),
            false => Err(request
                .forbidden(object, format!("user not permitted to {verb} requests with signerName {signer:?}"))
                .into()),
        }
    }
}

fn changes(request: &AdmissionRequest<'_>, object: &Value, field: &str) -> bool {
    request.old.and_then(|old| old.pointer(field)) != object.pointer(field)
}
