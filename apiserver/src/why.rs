//! `/sampan.dev/v1/{why,history}/<resource.group>/<namespace>/<name>`: what `sampan why` and `sampan history` show. Of objects
//! of the cluster the namespace is not looked at.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use sampan_core::object::ObjectKey;
use sampan_core::resource::Registry;
use sampan_core::status::Status;
use sampan_core::why;
use sampan_machine::Decision;
use serde_json::json;

use crate::response::{self, Response};
use crate::state::State;

/// Where explanations are served.
const WHY: &str = "/sampan.dev/v1/why/";
/// Where decisions are served.
const HISTORY: &str = "/sampan.dev/v1/history/";

/// Whether a path is answered here.
pub(crate) fn serves(path: &str) -> bool {
    path.starts_with(WHY) || path.starts_with(HISTORY)
}

/// Why an object is as it is, or all that is remembered of what was decided about it, oldest first.
///
/// # Errors
/// `NotFound` where there is no such object and nothing is remembered of it.
pub(crate) async fn answer(state: Arc<State>, path: String) -> Result<Response, Status> {
    // Decisions are read from the disk, where that holds up nobody else.
    let told = tokio::task::spawn_blocking(move || tell(&state, &path)).await;
    told.unwrap_or_else(|_| Err(Status::internal("failed to read decisions")))
}

fn tell(state: &State, path: &str) -> Result<Response, Status> {
    let told = match (path.strip_prefix(WHY), path.strip_prefix(HISTORY)) {
        (Some(object), _) => {
            let key = key_of(object, &state.registry())?;
            let explanation = why::explain(&state.snapshot(), &|key| decisions(state, key), &key);
            let mut explanation = explanation.ok_or_else(|| unknown(&key))?;
            explanation.waiting_for.extend(state.health.parts().iter().flat_map(|part| part.keeps_waiting(&key)));
            json!(explanation)
        }
        (None, object) => {
            let key = key_of(object.unwrap_or_default(), &state.registry())?;
            let decisions = decisions(state, &key);
            if decisions.is_empty() && state.snapshot().get(&key).is_none() {
                return Err(unknown(&key));
            }
            json!(decisions)
        }
    };
    Ok(response::json(200, &told, false))
}

fn decisions(state: &State, key: &ObjectKey) -> Vec<Decision> {
    state.cluster.store().reader().decisions(key).unwrap_or_else(|error| {
        tracing::warn!(%key, %error, "failed to read decisions");
        Vec::new()
    })
}

fn unknown(key: &ObjectKey) -> Status {
    Status::not_found(&key.resource.to_string(), &key.name)
}

/// The object a path names: its resource type by plural, singular, short name or kind, with or without its group.
fn key_of(path: &str, registry: &Registry) -> Result<ObjectKey, Status> {
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| Status::no_such_path())?;
    let mut segments = decoded.splitn(3, '/');
    let (Some(resource), Some(namespace), Some(name)) = (segments.next(), segments.next(), segments.next()) else {
        return Err(Status::no_such_path());
    };
    registry
        .key_of(resource, namespace, name)
        .ok_or_else(|| Status::bad_request(format!("the server doesn't have a resource type {resource:?}")))
}
