//! From a node's requests to mutations, as the API server reads them.

use http::Method;
use http::header::CONTENT_TYPE;
use sampan_core::gateway::{
    Action, Body, DeleteOptions, Gateway, Identity, Mutation, Options, PatchKind, Subresource, Target,
};
use sampan_core::object::Uid;
use sampan_core::store::Origin;
use sampan_machine::Decision;
use sampan_nodeagent::requests::{ApiRequest, DECISION_HEADER};
use serde_json::Value;

/// A request of a node as a mutation; `None` where it is none.
pub(super) fn mutation(node: &str, request: &ApiRequest, gateway: &Gateway) -> Option<Mutation> {
    let segments: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let subresource = match rest.get(2) {
        None => Subresource::Whole,
        Some(&"status") => Subresource::Status,
        Some(_) => return None,
    };
    let served = gateway.registry().served(group, version, rest.first()?)?;
    let target = Target {
        served,
        namespace: namespace.map(Into::into),
        name: rest.get(1).map(|name| (*name).into()),
        subresource,
    };
    Some(Mutation {
        identity: identity(node),
        origin: Origin::Node { name: node.to_owned() },
        target,
        action: action(request)?,
        options: Options { field_manager: "kubelet".to_owned(), ..Options::default() },
    })
}

fn identity(node: &str) -> Identity {
    // No roles are kept here: that a node writes its own and nothing else is a law of the simulation.
    Identity::new(format!("system:node:{node}"), &["system:nodes", "system:masters"])
}

fn action(request: &ApiRequest) -> Option<Action> {
    let body = Body::Json(request.body().clone().into());
    if request.method() == Method::POST {
        return Some(Action::Create(body));
    }
    if request.method() == Method::DELETE {
        let options: Value = serde_json::from_slice(request.body()).ok()?;
        let uid = options.pointer("/preconditions/uid").and_then(Value::as_str).map(|uid| Uid(uid.into()));
        let grace_seconds = options.get("gracePeriodSeconds").and_then(Value::as_i64);
        return Some(Action::Delete(DeleteOptions { grace_seconds, uid, ..DeleteOptions::default() }));
    }
    let kind = match request.headers().get(CONTENT_TYPE)?.to_str().ok()? {
        "application/merge-patch+json" => PatchKind::Merge,
        "application/strategic-merge-patch+json" => PatchKind::Strategic,
        _ => return None,
    };
    Some(Action::Patch(kind, body))
}

/// The decision a request carries.
pub(super) fn decision(request: &ApiRequest) -> Option<Decision> {
    serde_json::from_slice(request.headers().get(DECISION_HEADER)?.as_bytes()).ok()
}
