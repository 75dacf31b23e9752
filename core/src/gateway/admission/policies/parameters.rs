//! The objects a policy's expressions see as `params`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;

use super::Unasked;
use super::binding::ParameterReference;
use crate::gateway::Unprepared;
use crate::gateway::admission::AdmissionRequest;
use crate::object::selector::Selector;
use crate::object::{Object, ObjectKey};
use crate::resource::{Registry, Scope, Served};

/// The kind of a policy's parameters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway::admission) struct ParameterKind {
    pub(in crate::gateway::admission) api_version: String,
    pub(in crate::gateway::admission) kind: String,
}

impl ParameterKind {
    /// What the spec of a policy says; `None` where it has no parameters.
    ///
    /// # Errors
    /// When it names no kind of any version.
    pub(in crate::gateway::admission) fn of(spec: &Json) -> Result<Option<Self>, serde_json::Error> {
        spec.get("paramKind").map(Self::deserialize).transpose()
    }

    /// Its group and version.
    pub(in crate::gateway::admission) fn group_version(&self) -> (&str, &str) {
        self.api_version.split_once('/').unwrap_or(("", &self.api_version))
    }

    /// What serves it.
    ///
    /// # Errors
    /// What is told where nobody does.
    pub(in crate::gateway::admission) fn served(&self, registry: &Registry) -> Result<Served, String> {
        let (group, version) = self.group_version();
        registry.served_kind(group, version, &self.kind).ok_or_else(|| {
            let shown = format!("{group}/{version}, Kind={}", self.kind);
            format!("failed to find resource referenced by paramKind: '{shown}'")
        })
    }
}

/// The parameters of a binding, each to be judged by. Null stands for none, where none are asked for.
///
/// # Errors
/// What is wrong with policy or binding.
pub(super) fn parameters(
    request: &AdmissionRequest<'_>,
    kind: Option<&ParameterKind>,
    reference: Option<&ParameterReference>,
) -> Result<Vec<Json>, Unasked> {
    let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![Json::Null]) };
    let served = kind.served(&request.gateway.registry())?;
    let found = named(request, &served, reference)?;
    if found.is_empty() && reference.parameter_not_found_action == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned().into());
    }
    Ok(found)
}

fn named(
    request: &AdmissionRequest<'_>,
    served: &Served,
    reference: &ParameterReference,
) -> Result<Vec<Json>, Unasked> {
    let namespace = namespace(request, served, reference)?;
    let resource = served.definition.resource;
    let spoken = |object: &Arc<Object>| request.in_version_of(served, object.value()).map_err(Unasked::Unprepared);
    let Some(selector) = &reference.selector else {
        let key = ObjectKey { resource, namespace: namespace.map(Into::into), name: reference.name.as_str().into() };
        return request.snapshot.get(&key).map(spoken).into_iter().collect();
    };
    let selector =
        Selector::from_value(selector).ok_or_else(|| "the selector of paramRef cannot be read".to_owned())?;
    let all = request.snapshot.list(resource, namespace, None);
    together(all.filter(|object| selector.matches(&object.metadata().labels)).map(spoken))
}

/// What is found, or all that is to be asked first: in one round, however many they are.
fn together(found: impl Iterator<Item = Result<Json, Unasked>>) -> Result<Vec<Json>, Unasked> {
    let (mut all, mut calls) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Ok(one) => all.push(one),
            Err(Unasked::Unprepared(Unprepared::Asks(asked))) => calls.extend(asked),
            Err(other) => return Err(other),
        }
    }
    if calls.is_empty() { Ok(all) } else { Err(Unasked::Unprepared(Unprepared::Asks(calls))) }
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
