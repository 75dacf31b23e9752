//! Deletion of one object.

use std::sync::Arc;

use sampan_core::gateway::{Action, Mutation, Outcome, Subresource, Verb};
use sampan_core::object::Object;
use sampan_core::status::Status;
use serde_json::{Value, json};

use super::write::{target, warn};
use crate::call::Call;
use crate::request::{Content, body_to_json, delete_options, read_body};
use crate::response::{self, Response};

/// The answer to a delete: the object while something still keeps it or where it goes with grace, else that it is gone.
pub(super) async fn delete(call: Call) -> Result<Response, Status> {
    call.authorize(Verb::Delete)?;
    let view = call.view()?;
    let strategy = call.path.served.definition.strategy.clone();
    let (target, origin) = (target(&call, Subresource::Whole)?, call.origin(Verb::Delete));
    let body = read_options(call.body, &call.parts.headers).await?;
    let (delete, options) = delete_options(&call.query, &body)?;
    let _turn = call.state.turns.take(&call.identity).await?;
    let mutation =
        Mutation { identity: (*call.identity).clone(), origin, target, action: Action::Delete(delete), options };
    let (object, removed, warnings) = match call.state.cluster.mutate(mutation).await? {
        Outcome::Object { object, removed, warnings, .. } => (object, removed, warnings),
        Outcome::Preview { object, .. } => {
            let preview = view.converted_one(&call.state.cluster, object.to_string().into()).await?;
            return Ok(view.one(200, &preview));
        }
    };
    // As in Kubernetes, what is deleted with grace is shown as it was last: typed clients of pods count on it.
    let has_grace = strategy.default_grace_seconds(&object) > 0;
    let shown = match removed && !has_grace {
        true => None,
        // It is deleted, whatever a webhook that is to convert it says.
        false => view.converted_one(&call.state.cluster, object.bytes().clone()).await.ok(),
    };
    let mut response = match shown {
        None => response::json(200, &gone(&object), call.query.flag("pretty")),
        Some(shown) => view.one(200, &shown),
    };
    warn(&mut response, &warnings);
    Ok(response)
}

/// The body of a deletion: nothing, or `DeleteOptions`.
pub(super) async fn read_options(
    body: hyper::body::Incoming,
    headers: &hyper::HeaderMap,
) -> Result<bytes::Bytes, Status> {
    let body = read_body(body).await?;
    if body.is_empty() {
        return Ok(body);
    }
    body_to_json(body, Content::of_object(headers)?)
}

/// That an object is gone.
pub(super) fn gone(object: &Arc<Object>) -> Value {
    let key = object.key();
    let mut details = json!({"name": &*key.name, "kind": key.resource.plural, "uid": object.metadata().uid.as_str()});
    if let Some(fields) = details.as_object_mut().filter(|_| !key.resource.group.is_empty()) {
        fields.insert("group".to_owned(), key.resource.group.into());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
