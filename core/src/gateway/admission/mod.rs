//! What may still change or refuse a write: one rule a file, under the names Kubernetes gives them.
//!
//! A write passes every rule twice: first those that change the object, in the order of [`standard`], then policies and webhooks that do, and, once it is
//! defaulted again, prepared and valid, those that only look. What a rule needs to hold at the commit it hands on as a
//! condition; it is decided there against whatever was written meanwhile.
//!
//! # Adding a rule
//! 1. One file, one unit struct, named as in Kubernetes; [`Admission::concerns`] keeps it off the path of everything else.
//! 2. Its messages are those of Kubernetes: people and programs search for them.
//! 3. It reads the snapshot and the request alone: no I/O, no clock.
//! 4. Name it in [`standard`], in the order of Kubernetes' `AllOrderedPlugins`.
//! 5. One that looks at the name of a pod ends what is said of pods in `Strategy::is_blind_to_names`.

mod certificate_requests;
mod default_storage_class;
mod default_toleration_seconds;
mod effect_records;
mod escalation;
mod expressions;
mod limit_ranger;
mod manifest_file_records;
mod matching;
mod namespace_lifecycle;
mod node_restriction;
mod pod_security;
mod policies;
mod priority;
mod resource_quota;
mod revised;
mod rights;
mod round;
mod runtime_class;
mod service_account;
mod service_account_token_volume;
mod storage_object_in_use_protection;
mod subject;
mod webhooks;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub use certificate_requests::CertificateRequests;
pub use default_storage_class::DefaultStorageClass;
pub use default_toleration_seconds::DefaultTolerationSeconds;
pub use effect_records::EffectRecords;
pub use escalation::EscalationCheck;
pub use limit_ranger::LimitRanger;
pub use manifest_file_records::ManifestFileRecords;
pub use namespace_lifecycle::NamespaceLifecycle;
pub use node_restriction::NodeRestriction;
pub use pod_security::PodSecurity;
pub use policies::ValidatingAdmissionPolicy;
pub use priority::Priority;
pub use resource_quota::{Quota, ResourceQuota};
pub use runtime_class::RuntimeClass;
pub use service_account::ServiceAccountAdmission;
pub use service_account_token_volume::ServiceAccountTokenVolume;
pub(crate) use service_account_token_volume::TOKEN_VOLUME_PREFIX;
pub use storage_object_in_use_protection::StorageObjectInUseProtection;

pub(super) use namespace_lifecycle::namespace_terminating;
pub(super) use policies::MutatingPolicies;
pub(super) use resource_quota::exceeded;
pub(super) use webhooks::Webhooks;

use super::asking::Answers;
use super::{Action, Gateway, Mutation, Subresource, Unprepared};
use crate::access::Authorizer;
use crate::object::ResourceType;
use crate::resource::PODS;
use crate::resource::pod::RESIZE;
use crate::resource::read::at;
use crate::status::Status;
use crate::store::{CommitCondition, Snapshot};

/// What a request does, in the words of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Something is created; at a subresource, what is posted there.
    Create,
    /// Something is changed.
    Update,
    /// Something is deleted.
    Delete,
    /// Bytes are to flow between a client and the object.
    Connect,
}

impl Operation {
    /// As webhooks and policies spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What a rule is asked about.
#[derive(Clone, Copy)]
pub struct AdmissionRequest<'a> {
    /// The pipeline it is in.
    pub gateway: &'a Gateway,
    /// The write.
    pub mutation: &'a Mutation,
    /// What it does.
    pub operation: Operation,
    /// The cluster as read.
    pub snapshot: &'a Snapshot,
    /// Now.
    pub now: Timestamp,
    /// What webhooks have answered so far.
    pub(super) answers: &'a Answers,
    /// The object as it was; `None` for one that is new.
    pub old: Option<&'a Value>,
}

impl<'a> AdmissionRequest<'a> {
    /// Whether a whole object of that resource type is created.
    pub fn creates(&self, resource: ResourceType) -> bool {
        self.operation == Operation::Create && self.is_whole(resource)
    }

    /// Whether it is about a whole object of that resource type, and not about a subresource.
    pub fn is_whole(&self, resource: ResourceType) -> bool {
        let target = &self.mutation.target;
        target.resource() == resource && target.subresource == Subresource::Whole
    }

    /// Whether it changes what the containers of a pod ask for.
    pub fn resizes(&self) -> bool {
        let target = &self.mutation.target;
        target.resource() == PODS && target.subresource == Subresource::Named(RESIZE)
    }

    /// The namespace it is in.
    pub fn namespace(&self) -> Option<&'a str> {
        self.mutation.target.namespace.as_deref()
    }

    /// A refusal as Kubernetes words it: `pods "web" is forbidden: …`.
    pub fn forbidden(&self, object: &Value, why: impl std::fmt::Display) -> Status {
        let generated = || at(object, "/metadata/generateName").and_then(Value::as_str);
        let own = at(object, "/metadata/name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = own.or_else(generated).unwrap_or_default();
        Status::forbidden(format!("{} {name:?} is forbidden: {why}", self.mutation.target.resource_name()))
    }
}

/// What comes of a rule that lets a write pass.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What must still hold at the commit.
    pub conditions: Vec<CommitCondition>,
    /// For the client's eyes.
    pub warnings: Vec<String>,
}

/// One rule of admission.
pub trait Admission: Send + Sync {
    /// Whether the rule has anything to say to such a request. Asked of every write: it must cost next to nothing.
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool;

    /// Changes or refuses the object of a create or update, before it is prepared and validated.
    ///
    /// # Errors
    /// Why it may not be.
    fn mutate(&self, _request: &AdmissionRequest<'_>, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses a write, or says what must hold at its commit. `object` is what will be stored; of a deletion or a
    /// connection, what is there.
    ///
    /// # Errors
    /// Why it may not be.
    fn validate(&self, _request: &AdmissionRequest<'_>, _object: &Value) -> Result<Verdict, Unprepared> {
        Ok(Verdict::default())
    }
}

/// The rules every cluster has, in order. `authorizer` tells what somebody holds who grants something.
pub fn standard(authorizer: Arc<dyn Authorizer>) -> Vec<Box<dyn Admission>> {
    vec![
        Box::new(NamespaceLifecycle),
        Box::new(LimitRanger),
        Box::new(ServiceAccountAdmission),
        Box::new(ServiceAccountTokenVolume),
        Box::new(NodeRestriction),
        Box::new(EscalationCheck::new(authorizer.clone())),
        Box::new(CertificateRequests::new(authorizer)),
        Box::new(EffectRecords),
        Box::new(ManifestFileRecords),
        Box::new(Priority),
        Box::new(RuntimeClass),
        Box::new(DefaultTolerationSeconds),
        Box::new(DefaultStorageClass),
        Box::new(StorageObjectInUseProtection),
        Box::new(PodSecurity),
        Box::new(ValidatingAdmissionPolicy::default()),
        Box::new(ResourceQuota),
    ]
}

impl Action {
    /// What it does, in the words of admission.
    pub(super) fn operation(&self, is_new: bool) -> Operation {
        match self {
            Self::Create(_) => Operation::Create,
            Self::Update(_) | Self::Patch(..) if is_new => Operation::Create,
            Self::Update(_) | Self::Patch(..) => Operation::Update,
            Self::Delete(_) | Self::DeleteAsOneOfMany(_) | Self::Evict(_) => Operation::Delete,
            Self::Connect(_) => Operation::Connect,
        }
    }
}
