//! Create, update, patch: from a request to a mutation, and from its outcome to an answer.

use bytes::Bytes;
use hyper::header::{HeaderValue, WARNING};
use sampan_core::access::SIMULATED_NODES;
use sampan_core::gateway::{Action, Body, Mutation, Options, Outcome, PatchKind, Subresource, Target, Verb};
use sampan_core::resource::Scope;
use sampan_core::status::{Status, StatusCause};
use sampan_machine::Decision;
use serde_json::{Value, json};

use crate::call::Call;
use crate::request::{Content, body_to_json, content_type, read_body, write_options};
use crate::response::{self, Response};

/// The most warnings an answer carries.
const WARNINGS_MAX: usize = 32;
/// The header in which a node tells the decision behind a pod's status.
const DECISION: &str = "sampan-decision";

/// The answer to a create.
pub(super) async fn create(call: Call, subresource: Subresource) -> Result<Response, Status> {
    let content = Content::of_object(call.headers())?;
    let options = write_options(&call.query, call.headers(), "CreateOptions")?;
    write(call, Verb::Create, content, options, subresource, Action::Create).await
}

/// The answer to what is posted to a subresource and carried out on the object, such as a binding.
pub(super) async fn command(call: Call, name: &'static str) -> Result<Response, Status> {
    let pretty = call.query.flag("pretty");
    let mut response = response::json(201, &success(), pretty);
    let written = create(call, Subresource::Named(name)).await?;
    for warning in written.headers().get_all(WARNING) {
        response.headers_mut().append(WARNING, warning.clone());
    }
    Ok(response)
}

/// That what was asked is done, where there is no object to show.
pub(super) fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
}

/// The answer to an update.
pub(super) async fn update(call: Call, subresource: Subresource) -> Result<Response, Status> {
    let content = Content::of_object(call.headers())?;
    let options = write_options(&call.query, call.headers(), "UpdateOptions")?;
    write(call, Verb::Update, content, options, subresource, Action::Update).await
}

/// The answer to a patch.
pub(super) async fn patch(call: Call, subresource: Subresource) -> Result<Response, Status> {
    let (kind, content) = patch_kind(content_type(call.headers()))?;
    let options = write_options(&call.query, call.headers(), "PatchOptions")?;
    check_patch_options(kind, &call, &options)?;
    write(call, Verb::Patch, content, options, subresource, |body| Action::Patch(kind, body)).await
}

fn patch_kind(content_type: &str) -> Result<(PatchKind, Content), Status> {
    match content_type {
        "application/json-patch+json" => Ok((PatchKind::Json, Content::Json)),
        "application/merge-patch+json" => Ok((PatchKind::Merge, Content::Json)),
        "application/strategic-merge-patch+json" => Ok((PatchKind::Strategic, Content::Json)),
        "application/apply-patch+yaml" => Ok((PatchKind::Apply, Content::Yaml)),
        _ => Err(Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

fn check_patch_options(kind: PatchKind, call: &Call, options: &Options) -> Result<(), Status> {
    let fault = |reason: &str, field: &str, message: &str| {
        let cause = StatusCause { reason: reason.into(), message: message.into(), field: field.into() };
        Err(Status::invalid("PatchOptions.meta.k8s.io", "", vec![cause]))
    };
    match kind {
        PatchKind::Apply if call.query.text("fieldManager").is_empty() => {
            fault("FieldValueRequired", "fieldManager", "Required value: is required for apply patch")
        }
        PatchKind::Apply => Ok(()),
        _ if options.force => {
            fault("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch")
        }
        _ => Ok(()),
    }
}

async fn write(
    call: Call,
    verb: Verb,
    content: Content,
    options: Options,
    subresource: Subresource,
    action: impl FnOnce(Body) -> Action,
) -> Result<Response, Status> {
    call.authorize(verb)?;
    let view = call.view()?;
    if !view.is_plain() && call.path.served.definition.question(call.subresource()).is_some() {
        return Err(Status::not_acceptable("an answer has no metadata and is no row of a table"));
    }
    let (target, origin, decision) = (target(&call, subresource)?, call.origin(verb), decision_of(&call)?);
    let body = Body::Json(body_to_json(read_body(call.body).await?, content)?);
    let turn = call.state.turns.take(&call.identity).await?;
    let shows_scale = target.subresource == Subresource::Scale;
    let mutation = Mutation { identity: (*call.identity).clone(), origin, target, action: action(body), options };
    let outcome = call.state.cluster.mutate_deciding(mutation, decision).await?;
    // Who is asked how the answer reads may take long; others write meanwhile.
    drop(turn);
    let (object, created, warnings) = match outcome {
        Outcome::Object { object, created, warnings, .. } => (object.bytes().clone(), created, warnings),
        Outcome::Preview { object, created, warnings } => (Bytes::from(object.to_string()), created, warnings),
    };
    let object = view.converted_one(&call.state.cluster, object).await?;
    let code = if created || verb == Verb::Create { 201 } else { 200 };
    let mut response = match shows_scale {
        true => view.scale(code, &object)?,
        false => view.one(code, &object),
    };
    warn(&mut response, &warnings);
    Ok(response)
}

/// The place of the path.
///
/// # Errors
/// `MethodNotAllowed` where an object of a namespace is written without naming the namespace.
pub(super) fn target(call: &Call, subresource: Subresource) -> Result<Target, Status> {
    let path = &call.path;
    if path.namespace.is_none() && path.served.definition.scope == Scope::Namespaced {
        return Err(Status::method_not_allowed());
    }
    Ok(Target { served: path.served.clone(), namespace: path.namespace.clone(), name: path.name.clone(), subresource })
}

/// A node that reports what became of a pod says in a header how it came to that. It speaks for itself and for the object
/// it writes, and for nothing else.
fn decision_of(call: &Call) -> Result<Option<Decision>, Status> {
    let (Some(header), Some(node)) = (call.headers().get(DECISION), call.node()) else {
        return Ok(None);
    };
    let refused = |why: String| Status::bad_request(format!("failed to read the header {DECISION}: {why}"));
    let decision: Decision = serde_json::from_slice(header.as_bytes()).map_err(|error| refused(error.to_string()))?;
    let (operator, object) = (format!("node/{node}"), call.key()?.to_string());
    // The one client of all simulated nodes decides for each of them.
    let is_one_of_many = call.identity.is_in(SIMULATED_NODES) && decision.operator.starts_with("node/");
    if decision.operator != operator && !is_one_of_many {
        return Err(refused(format!("the operator is {:?}, expected {operator:?}", decision.operator)));
    }
    if decision.object != object {
        return Err(refused(format!("the object is {:?}, expected {object:?}", decision.object)));
    }
    Ok(Some(decision))
}

/// Adds warnings for the user's eyes (RFC 7234, §5.5: code 299).
pub(super) fn warn(response: &mut Response, warnings: &[String]) {
    for warning in warnings.iter().take(WARNINGS_MAX) {
        let text: String = warning.chars().filter(|character| !character.is_control()).collect();
        let quoted = format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        if let Ok(value) = HeaderValue::from_bytes(quoted.as_bytes()) {
            response.headers_mut().append(WARNING, value);
        }
    }
}
