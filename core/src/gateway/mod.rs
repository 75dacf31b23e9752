//! The one way in: verb → authorize → decode → default → change by admission → default again → prepare → validate → judge by
//! admission → commit.
//!
//! HTTP requests, manifests and operators' commands are all [`Mutation`]s. [`Gateway::prepare`] is a function of the
//! mutation and a snapshot: it yields the [`Write`](crate::store::Write) to hand to the sequencer, which may refuse it if the world has moved
//! on. It does no I/O and may run on any thread. [`Cluster`] is the gateway and the store as one: it prepares, commits, and
//! prepares again when somebody else was faster.

mod admission;
mod answer;
mod asking;
mod attempt;
mod authorize;
mod cluster;
mod conversion;
mod create;
mod custom;
mod decode;
mod delete;
mod evict;
mod held;
mod managed;
mod metadata;
mod mutation;
mod patch;
mod preparation;
mod refusal;
mod scale;
mod system_writer;
mod twins;
mod update;

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;

pub use crate::resource::Verb;
pub(crate) use admission::TOKEN_VOLUME_PREFIX;
pub use admission::{
    Admission, AdmissionRequest, CertificateRequests, DefaultStorageClass, DefaultTolerationSeconds, EffectRecords,
    EscalationCheck, LimitRanger, ManifestFileRecords, NamespaceLifecycle, NodeRestriction, Operation, PodSecurity,
    Priority, Quota, ResourceQuota, RuntimeClass, ServiceAccountAdmission, ServiceAccountTokenVolume,
    StorageObjectInUseProtection, ValidatingAdmissionPolicy, Verdict, standard as standard_admissions,
};
pub use asking::{Answers, Call, Inquiry, NoWebhooks, Reply, Told, WebhookClient};
pub use attempt::{Attempt, Next, Outcome};
pub use cluster::Cluster;
pub use mutation::{
    Action, Answer, Body, Connection, DeleteOptions, FieldValidation, Mutation, Options, PatchKind, Prepared,
    Propagation, Subresource, Target, Unprepared,
};
pub use refusal::refusal_status;
pub use scale::scale_of;
pub use system_writer::{API_SERVER, SystemWriter};
pub use twins::Twins;

use self::admission::{MutatingPolicies, Webhooks};
use self::preparation::Preparation;
use crate::access::{self, token::Tokens};
pub use crate::access::{Attributes, Authorizer, Identity, RoleAuthorizer, SystemAuthorizer};
use crate::entropy::Entropy;
use crate::resource::Registry;
use crate::status::Status;
use crate::store::Snapshot;

/// The pipeline every write runs through. One for everybody.
pub struct Gateway {
    registry: ArcSwap<Registry>,
    authorizer: Box<dyn Authorizer>,
    admissions: Vec<Box<dyn Admission>>,
    tokens: Option<Tokens>,
    policies: MutatingPolicies,
    webhooks: Webhooks,
}

impl Gateway {
    /// A gateway to these resource types. `admissions` are asked in order of every write.
    pub fn new(registry: Registry, authorizer: Box<dyn Authorizer>, admissions: Vec<Box<dyn Admission>>) -> Self {
        Self {
            registry: ArcSwap::from_pointee(registry),
            authorizer,
            admissions,
            tokens: None,
            policies: MutatingPolicies::default(),
            webhooks: Webhooks::default(),
        }
    }

    /// The same, giving tokens to service accounts.
    #[must_use]
    pub fn with_tokens(self, tokens: Tokens) -> Self {
        Self { tokens: Some(tokens), ..self }
    }

    /// What tells whose a token is; `None` where none are given.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// The resource types served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// Replaces the resource types served: custom ones came or went.
    pub fn replace_registry(&self, registry: Registry) {
        self.registry.store(Arc::new(registry));
    }

    /// Whether the caller may do that.
    ///
    /// # Errors
    /// `Forbidden`, naming who may not do what.
    pub fn authorize(&self, snapshot: &Snapshot, attributes: &Attributes<'_>) -> Result<(), Status> {
        let verdict = self.authorizer.authorize(snapshot, attributes);
        if verdict.allowed { Ok(()) } else { Err(access::forbidden(attributes, &verdict.reason)) }
    }

    /// What decides who may do what.
    pub fn authorizer(&self) -> &dyn Authorizer {
        &*self.authorizer
    }

    /// What to commit for a mutation, as the cluster stands in `snapshot`, where no webhook is to be asked.
    ///
    /// # Errors
    /// Why it cannot be: the caller may not, the object does not exist, a field is at fault.
    pub fn prepare(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
        entropy: &mut dyn Entropy,
        mutation: &Mutation,
    ) -> Result<Prepared, Status> {
        self.consider(snapshot, now, entropy, &Answers::default(), mutation).map_err(|unprepared| match unprepared {
            Unprepared::Refused(status) => status,
            Unprepared::Asks(_) => Status::unavailable("a webhook is to be asked, and nobody here can"),
        })
    }

    /// What to commit for a mutation, as the cluster stands in `snapshot`, after what webhooks have answered.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare); or the webhooks that are to be asked first.
    pub fn consider(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
        entropy: &mut dyn Entropy,
        answers: &Answers,
        mutation: &Mutation,
    ) -> Result<Prepared, Unprepared> {
        self.authorize(snapshot, &authorize::attributes(mutation))?;
        mutation.require_declared()?;
        let preparation = Preparation::new(self, snapshot, now, entropy, answers, mutation);
        match &mutation.action {
            action if preparation.question().is_some() => Ok(preparation.answer(action)?),
            Action::Create(body) => preparation.create(body),
            Action::Update(body) => preparation.update(body),
            Action::Patch(kind, body) => preparation.patch(*kind, body),
            Action::Delete(options) | Action::DeleteAsOneOfMany(options) => preparation.delete(options),
            Action::Evict(options) => preparation.evict(options),
            Action::Connect(_) => preparation.connect(),
        }
    }
}
