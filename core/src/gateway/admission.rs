//! What may still change or refuse an object after defaulting and before validation.

use serde_json::Value;

use super::node_restriction::MIRROR;
use super::{Mutation, Subresource};
use crate::object::{ObjectKey, ResourceType};
use crate::resource::read::texts;
use crate::status::{Status, StatusCause, StatusDetails};
use crate::store::{CommitCondition, Snapshot};

/// The resource type of namespaces.
const NAMESPACES: ResourceType = ResourceType::new("", "namespaces");
/// The resource type of service accounts.
pub(super) const SERVICE_ACCOUNTS: ResourceType = ResourceType::new("", "serviceaccounts");
/// The resource type of pods.
pub(super) const PODS: ResourceType = ResourceType::new("", "pods");

/// One rule of admission.
pub trait Admission: Send + Sync {
    /// Changes or refuses an object about to be created (`old` is `None`) or updated.
    ///
    /// # Errors
    /// Why it may not be.
    fn admit(
        &self,
        mutation: &Mutation,
        snapshot: &Snapshot,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Vec<CommitCondition>, Status>;
}

/// Nothing is created in a namespace that does not exist or is going away, also when that happens before the commit.
#[derive(Debug, Clone, Copy, Default)]
pub struct NamespaceLifecycle;

impl Admission for NamespaceLifecycle {
    fn admit(
        &self,
        mutation: &Mutation,
        snapshot: &Snapshot,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Vec<CommitCondition>, Status> {
        let Some(namespace) = mutation.target.namespace.as_ref().filter(|_| old.is_none()) else {
            return Ok(Vec::new());
        };
        match snapshot.get(&ObjectKey::cluster(NAMESPACES, namespace)) {
            None => Err(Status::not_found("namespaces", namespace)),
            Some(found) if found.metadata().is_terminating() => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                Err(namespace_terminating(&mutation.target.resource_name(), name, namespace))
            }
            Some(_) => Ok(vec![CommitCondition::NamespaceActive(namespace.clone())]),
        }
    }
}

/// The namespaces every cluster has, and keeps.
const LASTING_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Refuses to delete what a cluster cannot be without.
pub(super) fn refuse_removal(key: &ObjectKey) -> Result<(), Status> {
    if key.resource == NAMESPACES && LASTING_NAMESPACES.contains(&&*key.name) {
        let why = "this namespace may not be deleted";
        return Err(Status::forbidden(format!("{} {:?} is forbidden: {why}", key.resource, key.name)));
    }
    Ok(())
}

/// The refusal of a create in a namespace that is going away.
pub(super) fn namespace_terminating(resource: &str, name: &str, namespace: &str) -> Status {
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    Status::forbidden(format!("{resource} {name:?} is forbidden: {why}")).with_details(StatusDetails {
        name: name.to_owned(),
        kind: resource.to_owned(),
        causes: vec![StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        }],
        ..StatusDetails::default()
    })
}

/// The refusal of a create of what is defined by something that is going away.
pub(super) fn definition_terminating() -> Status {
    Status {
        message: "create not allowed while custom resource definition is terminating".to_owned(),
        ..Status::method_not_allowed()
    }
}

/// A pod runs as a service account that exists: its namespace's `default` where it names none.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceAccountAdmission;

impl Admission for ServiceAccountAdmission {
    fn admit(
        &self,
        mutation: &Mutation,
        snapshot: &Snapshot,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Vec<CommitCondition>, Status> {
        let creates_pod =
            mutation.target.resource() == PODS && mutation.target.subresource == Subresource::Whole && old.is_none();
        let Some(namespace) = mutation.target.namespace.as_deref().filter(|_| creates_pod) else {
            return Ok(Vec::new());
        };
        // What a node runs by itself acts as nobody.
        if texts(object, "/metadata/annotations").any(|(name, _)| name == MIRROR) {
            return Ok(Vec::new());
        }
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
            return Ok(Vec::new());
        };
        let account = match spec.get("serviceAccountName").and_then(Value::as_str) {
            Some(named) if !named.is_empty() => named.to_owned(),
            _ => "default".to_owned(),
        };
        spec.insert("serviceAccountName".to_owned(), Value::String(account.clone()));
        spec.insert("serviceAccount".to_owned(), Value::String(account.clone()));
        if snapshot.get(&ObjectKey::namespaced(SERVICE_ACCOUNTS, namespace, &account)).is_some() {
            return Ok(Vec::new());
        }
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        Err(Status::forbidden(format!(
            "pods {name:?} is forbidden: error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
        )))
    }
}
