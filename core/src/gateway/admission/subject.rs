//! What policies and webhooks see of a request: not the stored object, but what was spoken.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{AdmissionRequest, Operation};
use crate::gateway::decode::plain;
use crate::gateway::scale::{SCALE_KIND, scale_of};
use crate::gateway::{Action, Subresource, Unprepared};
use crate::object::ObjectKey;
use crate::resource::fill::set;
use crate::resource::{NAMESPACES, ServedVersion, SubresourceHandler};

/// A request as policies and webhooks see it.
pub(super) struct Subject<'a> {
    /// What is asked.
    pub(super) request: &'a AdmissionRequest<'a>,
    /// What it does.
    pub(super) operation: Operation,
    /// What is written; nothing for a deletion.
    pub(super) object: Option<Cow<'a, Value>>,
    /// What was there.
    pub(super) old: Option<Cow<'a, Value>>,
}

/// A kind in its version.
pub(super) struct Spoken {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
}

impl<'a> Subject<'a> {
    /// What is seen of a request whose object will be `object`; of a deletion or a connection, is.
    pub(super) fn new(request: &'a AdmissionRequest<'a>, object: &'a Value) -> Self {
        let target = &request.mutation.target;
        let (old, operation) = (request.old.map(Cow::Borrowed), request.operation);
        let seen = |operation, object, old| Self { request, operation, object, old };
        match &request.mutation.action {
            Action::Connect(connection) => seen(operation, Some(Cow::Borrowed(&connection.options)), None),
            Action::Evict(_) => seen(Operation::Create, Some(Cow::Owned(eviction(request))), None),
            _ if operation == Operation::Delete => seen(operation, None, old),
            Action::Create(body) if matches!(target.subresource, Subresource::Named(_)) => {
                seen(operation, plain(body).ok().map(Cow::Owned), None)
            }
            _ if target.subresource == Subresource::Scale => {
                let scale = |object: &Value| scale_of(&target.served.definition, object).map(Cow::Owned);
                seen(operation, scale(object), request.old.and_then(scale))
            }
            _ => seen(operation, Some(Cow::Borrowed(object)), old),
        }
    }

    /// Whether it is about the objects of the resource type themselves, which may be spoken in several versions.
    pub(super) fn is_of_resource(&self) -> bool {
        let target = &self.request.mutation.target;
        match target.subresource {
            Subresource::Whole | Subresource::Status => true,
            Subresource::Scale => false,
            Subresource::Named(_) => target.named().is_some_and(|named| named.handler == SubresourceHandler::Fields),
        }
    }

    /// The version that is spoken.
    pub(super) fn version(&self) -> &'a ServedVersion {
        &self.request.mutation.target.served.version
    }

    /// The versions it could be spoken in as well.
    pub(super) fn other_versions(&self) -> impl Iterator<Item = &'a ServedVersion> {
        let spoken = self.version();
        let others = self.request.mutation.target.served.definition.versions.iter();
        others.filter(move |other| other.is_served && (other.group, other.version) != (spoken.group, spoken.version))
    }

    /// The kind that is spoken there.
    pub(super) fn kind(&self, version: &ServedVersion) -> Spoken {
        let target = &self.request.mutation.target;
        if target.subresource == Subresource::Scale {
            return Spoken { group: "autoscaling", version: "v1", kind: SCALE_KIND };
        }
        match target.named().and_then(|named| named.spoken) {
            Some(spoken) => Spoken { group: spoken.group, version: spoken.version, kind: spoken.kind },
            None => Spoken { group: version.group, version: version.version, kind: target.served.definition.kind },
        }
    }

    /// The object in a version; null where there is none.
    pub(super) fn object_in(&self, version: &ServedVersion) -> Result<Value, Unprepared> {
        self.in_version(self.object.as_deref(), version)
    }

    /// What was there, in a version; null where there is none.
    pub(super) fn old_in(&self, version: &ServedVersion) -> Result<Value, Unprepared> {
        self.in_version(self.old.as_deref(), version)
    }

    fn in_version(&self, value: Option<&Value>, version: &ServedVersion) -> Result<Value, Unprepared> {
        match value.cloned() {
            None => Ok(Value::Null),
            Some(value) if self.is_of_resource() => self.request.in_version(value, version),
            Some(value) => Ok(value),
        }
    }

    /// The object's name, where it is known.
    pub(super) fn name(&self) -> &str {
        let path = self.request.mutation.target.name.as_deref();
        let own = self.object.as_deref().and_then(|object| object.pointer("/metadata/name"));
        path.or_else(|| own.and_then(Value::as_str)).unwrap_or_default()
    }

    /// The namespace it is in; of a namespace, that itself.
    pub(super) fn namespace(&self) -> &str {
        match self.request.mutation.target.resource() == NAMESPACES {
            true => self.name(),
            false => self.request.namespace().unwrap_or_default(),
        }
    }

    /// The namespace as stored, for one in a namespace; null elsewhere.
    pub(super) fn namespace_object(&self) -> Value {
        let key = self.request.namespace().map(|name| ObjectKey::cluster(NAMESPACES, name));
        key.and_then(|key| self.request.snapshot.get(&key)).map_or(Value::Null, |found| found.value())
    }

    /// The request as expressions and webhooks read it, asked about in `version`.
    pub(super) fn asked(&self, version: &ServedVersion) -> Value {
        let target = &self.request.mutation.target;
        let (mutation, spoken) = (self.request.mutation, self.version());
        let identity = &mutation.identity;
        let mut user = json!({"username": identity.user, "groups": identity.groups});
        if !identity.uid.is_empty() {
            set(&mut user, "uid", identity.uid.as_str());
        }
        if !identity.extra.is_empty() {
            set(&mut user, "extra", json!(identity.extra));
        }
        let mut asked = json!({
            "kind": self.kind(version).value(), "resource": self.resource(version),
            "requestKind": self.kind(spoken).value(), "requestResource": self.resource(spoken),
            "operation": self.operation.as_str(), "dryRun": mutation.options.dry_run, "userInfo": user,
        });
        let part = target.subresource.as_str();
        let texts = [
            ("name", self.name()),
            ("namespace", self.namespace()),
            ("subResource", part),
            ("requestSubResource", part),
        ];
        texts.into_iter().filter(|(_, text)| !text.is_empty()).for_each(|(field, text)| set(&mut asked, field, text));
        if let Some(options) = self.options() {
            set(&mut asked, "options", options);
        }
        asked
    }

    fn resource(&self, version: &ServedVersion) -> Value {
        let plural = self.request.mutation.target.resource().plural;
        json!({"group": version.group, "version": version.version, "resource": plural})
    }

    fn options(&self) -> Option<Value> {
        let (action, options) = (&self.request.mutation.action, &self.request.mutation.options);
        let kind = match action {
            Action::Create(_) | Action::Evict(_) => "CreateOptions",
            Action::Update(_) => "UpdateOptions",
            Action::Patch(..) => "PatchOptions",
            Action::Delete(_) | Action::DeleteAsOneOfMany(_) => "DeleteOptions",
            Action::Connect(_) => return None,
        };
        let mut shown = json!({"apiVersion": "meta.k8s.io/v1", "kind": kind});
        if !options.field_manager.is_empty() {
            set(&mut shown, "fieldManager", options.field_manager.as_str());
        }
        if options.dry_run {
            set(&mut shown, "dryRun", json!(["All"]));
        }
        if let Action::Delete(delete) | Action::DeleteAsOneOfMany(delete) = action
            && let Some(seconds) = delete.grace_seconds
        {
            set(&mut shown, "gracePeriodSeconds", seconds);
        }
        Some(shown)
    }
}

impl Spoken {
    pub(super) fn value(&self) -> Value {
        json!({"group": self.group, "version": self.version, "kind": self.kind})
    }
}

/// What is posted to have a pod evicted.
fn eviction(request: &AdmissionRequest<'_>) -> Value {
    let target = &request.mutation.target;
    let metadata = json!({"name": target.name.as_deref(), "namespace": target.namespace.as_deref()});
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
}
