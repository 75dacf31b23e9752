//! The objects a policy's expressions see as `params`.

use serde_json::Value as Json;

use super::policy::{ParameterKind, ParameterReference};
use crate::gateway::admission::AdmissionRequest;
use crate::object::selector::Selector;
use crate::object::{Object, ObjectKey};
use crate::resource::{Scope, Served};

/// The parameters of a binding, each to be judged by. Null stands for none, where none are asked for.
///
/// # Errors
/// What is wrong with policy or binding.
pub(super) fn parameters(
    request: &AdmissionRequest<'_>,
    kind: Option<&ParameterKind>,
    reference: Option<&ParameterReference>,
) -> Result<Vec<Json>, String> {
    let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![Json::Null]) };
    let (group, version) = kind.group_version();
    let served = request.gateway.registry().served_kind(group, version, &kind.kind);
    let served = served.ok_or_else(|| unknown(kind))?;
    let found = named(request, &served, reference)?;
    if found.is_empty() && reference.parameter_not_found_action == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(found)
}

/// What is told of a kind of parameters that nobody serves.
pub(super) fn unknown(kind: &ParameterKind) -> String {
    format!("failed to find resource referenced by paramKind: '{}'", kind.shown())
}

fn named(request: &AdmissionRequest<'_>, served: &Served, reference: &ParameterReference) -> Result<Vec<Json>, String> {
    let namespace = namespace(request, served, reference)?;
    let resource = served.definition.resource;
    let spoken = |object: &std::sync::Arc<Object>| spoken(served, object);
    let Some(selector) = &reference.selector else {
        let key = ObjectKey { resource, namespace: namespace.map(Into::into), name: reference.name.as_str().into() };
        return Ok(request.snapshot.get(&key).map(spoken).into_iter().collect());
    };
    let selector = Selector::from_value(selector).ok_or("the selector of paramRef cannot be read")?;
    let all = request.snapshot.list(resource, namespace, None);
    Ok(all.filter(|object| selector.matches(&object.metadata().labels)).map(spoken).collect())
}

fn namespace<'a>(
    request: &AdmissionRequest<'a>,
    served: &Served,
    reference: &'a ParameterReference,
) -> Result<Option<&'a str>, String> {
    match (served.definition.scope, reference.namespace.as_str()) {
        (Scope::Cluster, "") => Ok(None),
        (Scope::Cluster, _) => {
            Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned())
        }
        (Scope::Namespaced, "") => request.namespace().map(Some).ok_or_else(|| {
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
        }),
        (Scope::Namespaced, own) => Ok(Some(own)),
    }
}

fn spoken(served: &Served, object: &Object) -> Json {
    let mut value = object.value();
    if let Some(from_stored) = served.version.from_stored {
        from_stored(&mut value);
    }
    value
}
