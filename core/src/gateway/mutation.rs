//! What is asked of the gateway.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::asking::Call;
use crate::access::Identity;
use crate::object::{Name, Object, ObjectKey, ResourceType, Revision, Uid};
use crate::resource::{Served, SubresourceDefinition, SubresourceHandler, Verb};
use crate::status::Status;
use crate::store::{Origin, Write};

/// One write that is asked for.
#[derive(Clone)]
pub struct Mutation {
    /// Who asks.
    pub identity: Identity,
    /// What the change will say of where it comes from.
    pub origin: Origin,
    /// What it is about.
    pub target: Target,
    /// What is to happen.
    pub action: Action,
    /// How.
    pub options: Options,
}

/// The object, or the place for one, that a write is about.
#[derive(Clone)]
pub struct Target {
    /// The resource type and the version spoken.
    pub served: Served,
    /// The namespace of the path.
    pub namespace: Option<Name>,
    /// The name of the path; `None` for a create.
    pub name: Option<Name>,
    /// The part of the object that is written.
    pub subresource: Subresource,
}

/// The part of an object that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subresource {
    /// All but the status.
    Whole,
    /// The status alone.
    Status,
    /// The replicas, as `autoscaling/v1 Scale`.
    Scale,
    /// One of the resource type's own, such as `binding`.
    Named(&'static str),
}

/// What is to happen.
#[derive(Debug, Clone)]
pub enum Action {
    /// A new object.
    Create(Body),
    /// A whole object in place of the old.
    Update(Body),
    /// A change of some fields.
    Patch(PatchKind, Body),
    /// Deletion.
    Delete(DeleteOptions),
    /// Deletion as one of many that were asked for at once.
    DeleteAsOneOfMany(DeleteOptions),
    /// Deletion of a pod that asks first.
    Evict(DeleteOptions),
    /// Nothing is written: bytes are to flow between the client and the object, and admission is asked.
    Connect(Connection),
}

/// Bytes that are to flow.
#[derive(Debug, Clone)]
pub struct Connection {
    /// What the client needs for it.
    pub verb: Verb,
    /// What is asked for, as an object of the subresource's kind such as `PodExecOptions`: what policies and webhooks judge.
    pub options: Value,
}

/// An object or patch: as a client sent it, or as our own code built it.
#[derive(Debug, Clone)]
pub enum Body {
    /// JSON as received; checked for duplicate and unknown fields.
    Json(Bytes),
    /// A value built here.
    Value(Value),
}

/// The ways to change some fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' strategic merge patch.
    Strategic,
    /// Server-side apply; creates the object where it is missing.
    Apply,
}

/// How a write is carried out.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Everything but the commit.
    pub dry_run: bool,
    /// What happens to unknown and duplicate fields.
    pub field_validation: FieldValidation,
    /// The field manager; empty takes the client's name.
    pub field_manager: String,
    /// Apply takes fields from other managers.
    pub force: bool,
}

/// What happens to unknown and duplicate fields of a request's object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped with a warning.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// How an object is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds of grace; `None` takes the object's own.
    pub grace_seconds: Option<i64>,
    /// Refuse if the object is another.
    pub uid: Option<Uid>,
    /// Refuse if the object has changed.
    pub revision: Option<Revision>,
    /// What becomes of its dependents; `None` takes the resource type's default.
    pub propagation: Option<Propagation>,
}

/// What becomes of the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They stay, without their owner.
    Orphan,
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
}

/// A mutation that may be committed.
#[derive(Debug)]
pub struct Prepared {
    /// For the sequencer. Without changes, nothing is to be done and the object stands as it is.
    pub write: Write,
    /// What the caller is told.
    pub answer: Answer,
    /// Whether the mutation creates the object.
    pub creates: bool,
    /// For the client's eyes.
    pub warnings: Vec<String>,
}

/// Why a mutation is not prepared.
#[derive(Debug, thiserror::Error)]
pub enum Unprepared {
    /// It cannot be.
    #[error(transparent)]
    Refused(#[from] Status),
    /// Webhooks are to be asked first; with their answers it is prepared again.
    #[error("{} webhooks are to be asked", .0.len())]
    Asks(Vec<Call>),
}

/// What the caller of a mutation is told once it is committed.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The object as the first change of the write left it.
    Committed,
    /// The object as it stands: the mutation changes nothing.
    Unchanged(Arc<Object>),
    /// What a dry run would have stored, in the stored version; or a question with its answer.
    Preview(Box<Value>),
}

impl Subresource {
    /// As the path spells it; empty for the whole.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Named(name) => name,
        }
    }
}

impl Action {
    /// As a verb of the API.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Create(_) => Verb::Create,
            Self::Update(_) => Verb::Update,
            Self::Patch(..) => Verb::Patch,
            Self::Delete(_) => Verb::Delete,
            Self::DeleteAsOneOfMany(_) => Verb::DeleteCollection,
            Self::Evict(_) => Verb::Create,
            Self::Connect(connection) => connection.verb,
        }
    }
}

impl Mutation {
    /// Refuses what the resource type does not declare: whoever asks, nothing else is carried out.
    pub(super) fn require_declared(&self) -> Result<(), Status> {
        let (definition, verb) = (&self.target.served.definition, self.action.verb());
        let is_declared = match self.target.subresource {
            Subresource::Whole => {
                definition.verbs.contains(&verb) && !matches!(self.action, Action::Evict(_) | Action::Connect(_))
            }
            Subresource::Status => definition.has_status && matches!(verb, Verb::Update | Verb::Patch),
            Subresource::Scale => definition.scale.is_some() && matches!(verb, Verb::Update | Verb::Patch),
            Subresource::Named(_) => self.target.named().is_some_and(|named| match named.handler {
                SubresourceHandler::Fields => matches!(verb, Verb::Update | Verb::Patch) && named.allows(verb),
                SubresourceHandler::Command | SubresourceHandler::Question => {
                    matches!(self.action, Action::Create(_)) && named.allows(verb)
                }
                SubresourceHandler::Eviction => matches!(self.action, Action::Evict(_)),
                handler => handler.streams() && named.allows(verb) && matches!(self.action, Action::Connect(_)),
            }),
        };
        if is_declared { Ok(()) } else { Err(Status::method_not_allowed()) }
    }
}

impl Target {
    /// The subresource of the resource type's own that is written, if it has it.
    pub fn named(&self) -> Option<&SubresourceDefinition> {
        match self.subresource {
            Subresource::Named(name) => self.served.definition.subresource(name),
            _ => None,
        }
    }

    /// The stored resource type.
    pub fn resource(&self) -> ResourceType {
        self.served.definition.resource
    }

    /// The key of the object of that name.
    pub fn key(&self, name: &str) -> ObjectKey {
        ObjectKey { resource: self.resource(), namespace: self.namespace.clone(), name: name.into() }
    }

    /// The resource as errors name it: `deployments.apps`.
    pub fn resource_name(&self) -> String {
        self.resource().to_string()
    }

    /// The kind as errors name it: `Deployment.apps`.
    pub fn kind_name(&self) -> String {
        match self.served.version.group {
            "" => self.served.definition.kind.to_owned(),
            group => format!("{}.{group}", self.served.definition.kind),
        }
    }
}
