//! Nothing is created in a namespace that does not exist or is going away, and the namespaces a cluster cannot be without
//! stay.

use serde_json::Value;

use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::gateway::Unprepared;
use crate::object::ObjectKey;
use crate::resource::read::at;
use crate::resource::{EFFECTS, NAMESPACES};
use crate::status::{Status, StatusCause, StatusDetails};
use crate::store::CommitCondition;

/// The namespaces every cluster has, and keeps.
const LASTING: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Nothing is created in a namespace that does not exist or is going away, also when that happens before the commit; and
/// some namespaces are never deleted. Records of effects are: what goes may have to be taken down beyond the cluster first.
#[derive(Debug, Clone, Copy, Default)]
pub struct NamespaceLifecycle;

impl Admission for NamespaceLifecycle {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        match request.operation {
            Operation::Create => request.namespace().is_some() && request.mutation.target.resource() != EFFECTS,
            Operation::Delete => request.mutation.target.resource() == NAMESPACES,
            Operation::Update | Operation::Connect => false,
        }
    }

    /// Before every other rule: none of them finds anything in a namespace that is not there.
    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        let Some(namespace) = request.namespace() else { return Ok(()) };
        match request.snapshot.get(&ObjectKey::cluster(NAMESPACES, namespace)) {
            None => Err(Status::not_found("namespaces", namespace)),
            Some(found) if found.metadata().is_terminating() => {
                let name = at(object, "/metadata/name").and_then(Value::as_str).unwrap_or_default();
                Err(namespace_terminating(&request.mutation.target.resource_name(), name, namespace))
            }
            Some(_) => Ok(()),
        }
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        if request.operation == Operation::Delete {
            return match request.mutation.target.name.as_deref() {
                Some(name) if LASTING.contains(&name) => {
                    Err(request.forbidden(object, "this namespace may not be deleted").into())
                }
                _ => Ok(Verdict::default()),
            };
        }
        let active = request.namespace().map(|it| CommitCondition::Active(ObjectKey::cluster(NAMESPACES, it)));
        Ok(Verdict { conditions: active.into_iter().collect(), ..Verdict::default() })
    }
}

/// The refusal of a create in a namespace that is going away.
pub(in crate::gateway) fn namespace_terminating(resource: &str, name: &str, namespace: &str) -> Status {
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
