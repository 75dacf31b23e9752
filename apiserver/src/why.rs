//! `/sampan.dev/v1/why/<resource.group>/<namespace>/<name>`: what `sampan why` shows. Objects of the cluster have an empty
//! namespace, written `-`.

use percent_encoding::percent_decode_str;
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::resource::{Registry, Scope};
use sampan_core::status::Status;
use sampan_core::why;
use serde_json::json;

use crate::response::{self, Response};
use crate::state::State;

/// Where explanations are served.
pub(crate) const ROOT: &str = "/sampan.dev/v1/why/";

/// Why an object is as it is.
///
/// # Errors
/// `NotFound` where there is no such object and nothing is remembered of it.
pub(crate) fn answer(state: &State, path: &str) -> Result<Response, Status> {
    let key = key_of(path, &state.registry())?;
    let reader = state.cluster.store().reader();
    let decisions = |key: &ObjectKey| {
        reader.decisions(key).unwrap_or_else(|error| {
            tracing::warn!(%key, %error, "failed to read decisions");
            Vec::new()
        })
    };
    let explanation = why::explain(&state.snapshot(), &decisions, &key);
    let explanation = explanation.ok_or_else(|| Status::not_found(&key.resource.to_string(), &key.name))?;
    Ok(response::json(200, &json!(explanation), false))
}

/// The object a path names: its resource type by plural, singular, short name or kind, with or without its group.
fn key_of(path: &str, registry: &Registry) -> Result<ObjectKey, Status> {
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| Status::no_such_path())?;
    let mut segments = decoded.strip_prefix(ROOT).unwrap_or_default().splitn(3, '/');
    let (Some(resource), Some(namespace), Some(name)) = (segments.next(), segments.next(), segments.next()) else {
        return Err(Status::no_such_path());
    };
    let (resource, scope) = resource_named(resource, registry)
        .ok_or_else(|| Status::bad_request(format!("the server doesn't have a resource type {resource:?}")))?;
    Ok(match scope {
        Scope::Namespaced => ObjectKey::namespaced(resource, namespace, name),
        Scope::Cluster => ObjectKey::cluster(resource, name),
    })
}

fn resource_named(text: &str, registry: &Registry) -> Option<(ResourceType, Scope)> {
    let text = text.to_ascii_lowercase();
    let (word, group) = text.split_once('.').map_or((text.as_str(), None), |(word, group)| (word, Some(group)));
    let named = registry.definitions().find(|definition| {
        let is_called = word == definition.resource.plural
            || word == definition.singular
            || definition.short_names.contains(&word)
            || definition.kind.eq_ignore_ascii_case(word);
        is_called && group.is_none_or(|group| group == definition.resource.group)
    });
    named.map(|definition| (definition.resource, definition.scope))
}
