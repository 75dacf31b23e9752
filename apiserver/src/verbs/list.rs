//! Many objects, all at one revision.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sampan_core::gateway::Verb;
use sampan_core::object::{Name, ObjectKey, ResourceType, Revision};
use sampan_core::status::Status;
use sampan_core::store::Snapshot;
use serde::{Deserialize, Serialize};

use super::read::require_reached;
use super::selection::Selection;
use crate::call::Call;
use crate::request::{ListOptions, VersionMatch, accepts_gzip};
use crate::response::{self, ListMetadata, Response};

/// The revision of a token that goes on with whatever is there by then. No list is at it.
const INCONSISTENT: Revision = Revision(0);

/// Where a list in pages goes on: opaque to clients.
///
/// It names the last object by namespace and name alone: the resource type is the path's.
#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "rv")]
    revision: u64,
    #[serde(rename = "ns", default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Name>,
    name: Name,
}

/// The answer to a list.
pub(super) async fn list(call: &Call) -> Result<Response, Status> {
    call.authorize(Verb::List)?;
    let view = call.view()?;
    let options = ListOptions::parse(&call.query, &call.path.served.definition)?;
    let selection = Selection::new(call, &options);
    let (snapshot, after) = start(call, &options)?;
    // What is selected by once it is converted is not counted before: there are no pages.
    let limit = options.limit.filter(|_| selection.converted_fields().is_none()).unwrap_or(usize::MAX);
    let mut objects = selection.of(&snapshot, after.as_ref(), limit.saturating_add(1));
    let mut metadata = ListMetadata { revision: snapshot.revision().0, ..ListMetadata::default() };
    if objects.len() > limit {
        objects.truncate(limit);
        if let Some(last) = objects.last() {
            call.state.pins.keep(&snapshot);
            metadata.continue_token = token(snapshot.revision(), last.key());
            metadata.remaining = selection.takes_all().then(|| selection.remaining(&snapshot, last.key()));
        }
    }
    let objects = objects.iter().map(|object| object.bytes().clone()).collect();
    let mut objects = view.converted(&call.state.cluster, objects).await?;
    if let Some(fields) = selection.converted_fields() {
        objects.retain(|object| fields.matches_json(&view.served.definition, object));
    }
    Ok(response::list(view, objects, &metadata, accepts_gzip(call.headers())))
}

/// The snapshot to read, and the key to start after.
fn start(call: &Call, options: &ListOptions) -> Result<(Snapshot, Option<ObjectKey>), Status> {
    let head = call.state.snapshot();
    if !options.continue_token.is_empty() {
        let (revision, after) = read_token(&options.continue_token, call.path.served.definition.resource)?;
        let is_head = revision == INCONSISTENT || head.revision() == revision;
        let pinned = if is_head { Some(head) } else { call.state.pins.get(revision) };
        return pinned.map(|snapshot| (snapshot, Some(after.clone()))).ok_or_else(|| expired_token(&after));
    }
    let Some(wanted) = options.resource_version.filter(|wanted| *wanted != Revision(0)) else {
        return Ok((head, None));
    };
    require_reached(wanted, head.revision())?;
    if options.version_match != Some(VersionMatch::Exact) || head.revision() == wanted {
        return Ok((head, None));
    }
    let pinned = call.state.pins.get(wanted);
    let too_old = || Status::expired("The resourceVersion for the provided list is too old.");
    pinned.map(|snapshot| (snapshot, None)).ok_or_else(too_old)
}

fn token(revision: Revision, last: &ObjectKey) -> String {
    let token = Token { revision: revision.0, namespace: last.namespace.clone(), name: last.name.clone() };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("writing JSON to memory cannot fail"))
}

fn read_token(text: &str, resource: ResourceType) -> Result<(Revision, ObjectKey), Status> {
    let read = || -> Option<(Revision, ObjectKey)> {
        let token: Token = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let Token { revision, namespace, name } = token;
        (!name.is_empty()).then_some((Revision(revision), ObjectKey { resource, namespace, name }))
    };
    read().ok_or_else(|| Status::bad_request("continue key is not valid"))
}

/// What was listed is no longer kept. The rest may be had all the same, as it is by now.
fn expired_token(last: &ObjectKey) -> Status {
    let status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    );
    Status { continue_token: token(INCONSISTENT, last), ..status }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_nonsense_is_refused() {
        let deployments = ResourceType::new("apps", "deployments");
        let keys = [
            ObjectKey::namespaced(deployments, "default", "web"),
            ObjectKey { namespace: None, ..ObjectKey::namespaced(deployments, "", "web") },
        ];
        for key in keys {
            assert_eq!(read_token(&token(Revision(7), &key), deployments).unwrap(), (Revision(7), key));
        }
        for text in ["x", "", "e30"] {
            assert_eq!(read_token(text, deployments).unwrap_err().code, 400, "{text}");
        }
    }

    #[test]
    fn who_comes_too_late_is_told_how_to_go_on() {
        let key = ObjectKey::namespaced(ResourceType::new("", "pods"), "default", "web");
        let told = expired_token(&key).to_value();
        let token = told["metadata"]["continue"].as_str().unwrap();
        assert_eq!(read_token(token, key.resource).unwrap(), (INCONSISTENT, key));
    }

    #[test]
    fn a_token_cannot_name_another_resource_type() {
        let forged = URL_SAFE_NO_PAD.encode(r#"{"rv":7,"after":"made.up/default/web","name":"web"}"#);
        let pods = ResourceType::new("", "pods");
        assert_eq!(read_token(&forged, pods).unwrap().1.resource, pods);
    }
}
