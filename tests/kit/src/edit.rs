//! Writes from outside, as the gateway takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sampan_core::gateway::{
    Action, Admission, AdmissionRequest, Body, DeleteOptions, Identity, Mutation, Operation, Options, Propagation,
    Subresource, Target,
};
use sampan_core::object::{Name, ObjectKey};
use sampan_core::resource::{EVENTS, Served};
use sampan_core::status::Status;
use sampan_core::store::Origin;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::world::Edit;

/// Refuses every creation while it is asked to. Events are let through: they tell of the refusal.
pub(crate) struct Refusing(pub(crate) Arc<AtomicBool>);

impl Admission for Refusing {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let is_asked = self.0.load(Ordering::Relaxed);
        is_asked && request.operation == Operation::Create && request.mutation.target.resource() != EVENTS
    }

    fn mutate(&self, _request: &AdmissionRequest<'_>, _object: &mut Value) -> Result<(), Status> {
        Err(Status::forbidden("the kit refuses every creation now"))
    }
}

impl Cluster<'_> {
    /// What becomes of dependents, as kubectl says it: they go after their owner, whatever its resource type's default. Where a
    /// finalizer says something else already, nothing is said.
    fn propagation(&self, key: &ObjectKey) -> Option<Propagation> {
        let says = |finalizer: &Name| matches!(&**finalizer, "foregroundDeletion" | "orphan");
        let is_said = self.snapshot().get(key).is_some_and(|object| object.metadata().finalizers.iter().any(says));
        (!is_said).then_some(Propagation::Background)
    }

    /// What the gateway is asked for an edit.
    pub(crate) fn mutation(&self, edit: &Edit) -> Result<Mutation, String> {
        let (key, subresource, action) = match edit {
            Edit::Create(object) => (None, Subresource::Whole, Action::Create(Body::Value(object.clone()))),
            Edit::Update(object) => {
                (Some(self.key(object)?), Subresource::Whole, Action::Update(Body::Value(object.clone())))
            }
            Edit::UpdateStatus(object) => {
                (Some(self.key(object)?), Subresource::Status, Action::Update(Body::Value(object.clone())))
            }
            Edit::Resize(object) => {
                (Some(self.key(object)?), Subresource::Named("resize"), Action::Update(Body::Value(object.clone())))
            }
            Edit::Delete(key) => {
                let options = DeleteOptions { propagation: self.propagation(key), ..DeleteOptions::default() };
                (Some(key.clone()), Subresource::Whole, Action::Delete(options))
            }
            Edit::Remove(key) => {
                let at_once = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
                (Some(key.clone()), Subresource::Whole, Action::Delete(at_once))
            }
        };
        let (served, namespace) = match (&key, edit) {
            (Some(key), _) => (self.served_at(key)?, key.namespace.clone()),
            (None, Edit::Create(object)) => {
                (self.served_kind(object)?, text(object, "/metadata/namespace").map(Into::into))
            }
            (None, _) => return Err("only a creation has no key".to_owned()),
        };
        let origin = Origin::Request { user: "actor".into(), client: "kit".into(), verb: "write".into() };
        let identity = Identity::new("actor", &["system:masters"]);
        let name = key.map(|key| key.name);
        let target = Target { served, namespace, name, subresource };
        Ok(Mutation { identity, origin, target, action, options: Options::default() })
    }

    /// Where an object of a manifest is found.
    pub(crate) fn key(&self, object: &Value) -> Result<ObjectKey, String> {
        let resource = self.served_kind(object)?.definition.resource;
        let name = text(object, "/metadata/name").ok_or("an object has no name")?.into();
        Ok(ObjectKey { resource, namespace: text(object, "/metadata/namespace").map(Into::into), name })
    }

    fn served_kind(&self, object: &Value) -> Result<Served, String> {
        let api_version = text(object, "/apiVersion").unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = text(object, "/kind").unwrap_or_default();
        self.gateway.registry().served_kind(group, version, kind).ok_or(format!("{api_version} {kind} is not served"))
    }

    fn served_at(&self, key: &ObjectKey) -> Result<Served, String> {
        let registry = self.gateway.registry();
        let definition = registry.definition(key.resource).ok_or(format!("{} is not served", key.resource))?;
        let version = definition.versions.first().ok_or("a definition has no version")?.clone();
        Ok(Served { definition: definition.clone(), version })
    }
}

pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}
