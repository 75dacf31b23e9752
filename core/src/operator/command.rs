//! What an operator wants done.

use std::borrow::Cow;

use serde_json::Value;

use super::WriteVerb;
use crate::gateway::DeleteOptions;
use crate::object::{ObjectKey, ResourceType};
use crate::resource::EFFECTS;
use crate::resource::read::at;

/// What an operator wants done.
#[derive(Debug, Clone)]
pub enum Command {
    /// Create an object; its name may be left to `generateName`.
    Create {
        /// The resource type.
        resource: ResourceType,
        /// The object.
        object: Value,
    },
    /// Replace an object by what was made of the one read.
    Update {
        /// The object.
        key: ObjectKey,
        /// As it should be.
        object: Value,
    },
    /// Have an object be as these fields say, by server-side apply.
    Apply {
        /// The object.
        key: ObjectKey,
        /// The fields.
        object: Value,
        /// Whether it was missing when it was read: then it is created.
        creates: bool,
    },
    /// Replace an object's status.
    UpdateStatus {
        /// The object.
        key: ObjectKey,
        /// The object with its status as it should be.
        object: Value,
    },
    /// Delete an object.
    Delete {
        /// The object.
        key: ObjectKey,
        /// How; its uid is always a precondition.
        options: DeleteOptions,
    },
    /// Write a subresource of a resource type's own, such as a pod's `binding`.
    Subresource {
        /// The object.
        key: ObjectKey,
        /// The subresource.
        name: &'static str,
        /// What is posted to it, or the whole object with the fields it is for.
        body: Value,
    },
    /// Do something to the world beyond the store, once for each key of the primary.
    Effect {
        /// The effect, as declared.
        name: &'static str,
        /// What makes it the same when it is asked for again.
        key: String,
        /// What it is given.
        input: Value,
    },
    /// Tell users what happened. Repetitions are merged into one Event with a count.
    Event {
        /// What it is about.
        regarding: ObjectKey,
        /// `Normal` or `Warning`.
        kind: EventKind,
        /// Such as `SuccessfulCreate`.
        reason: Cow<'static, str>,
        /// For people.
        message: String,
    },
}

/// The two kinds of Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody may have to look.
    Warning,
}

impl EventKind {
    /// The Event's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl Command {
    /// What it does to which resource type, as a declaration permits it; `None` for Events, which need no permission.
    pub fn permission(&self) -> Option<(WriteVerb, ResourceType)> {
        match self {
            Self::Create { resource, .. } => Some((WriteVerb::Create, *resource)),
            Self::Effect { .. } => Some((WriteVerb::Create, EFFECTS)),
            Self::Apply { key, creates: true, .. } => Some((WriteVerb::Create, key.resource)),
            Self::Apply { key, creates: false, .. } => Some((WriteVerb::Update, key.resource)),
            Self::Update { key, .. } | Self::Subresource { key, .. } => Some((WriteVerb::Update, key.resource)),
            Self::UpdateStatus { key, .. } => Some((WriteVerb::UpdateStatus, key.resource)),
            Self::Delete { key, .. } => Some((WriteVerb::Delete, key.resource)),
            Self::Event { .. } => None,
        }
    }

    /// The object it is about, where that is known before the gateway has named it.
    pub fn key(&self) -> Option<ObjectKey> {
        match self {
            Self::Create { resource, object } => named(*resource, object),
            Self::Effect { .. } => None,
            Self::Update { key, .. }
            | Self::Apply { key, .. }
            | Self::UpdateStatus { key, .. }
            | Self::Delete { key, .. }
            | Self::Subresource { key, .. } => Some(key.clone()),
            Self::Event { regarding, .. } => Some(regarding.clone()),
        }
    }
}

fn named(resource: ResourceType, object: &Value) -> Option<ObjectKey> {
    let text = |pointer: &str| at(object, pointer).and_then(Value::as_str);
    let name = text("/metadata/name")?.into();
    Some(ObjectKey { resource, namespace: text("/metadata/namespace").map(Into::into), name })
}
