//! One object.

use std::sync::Arc;

use sampan_core::gateway::Verb;
use sampan_core::object::{Object, Revision};
use sampan_core::status::{Status, StatusCause, StatusDetails};

use crate::call::Call;
use crate::response::Response;

/// The answer to a get.
pub(super) async fn get(call: &Call) -> Result<Response, Status> {
    let view = call.view()?;
    let object = find(call)?;
    let spoken = view.converted_one(&call.state.cluster, object.bytes().clone()).await?;
    Ok(view.one(200, &spoken))
}

/// The answer to a get of the replicas.
pub(super) async fn scale(call: &Call) -> Result<Response, Status> {
    let view = call.view()?;
    let object = find(call)?;
    view.scale(200, &view.converted_one(&call.state.cluster, object.bytes().clone()).await?)
}

/// The object of the path, if the caller may see it.
pub(super) fn find(call: &Call) -> Result<Arc<Object>, Status> {
    call.authorize(Verb::Get)?;
    look_up(call)
}

/// The object of the path, for callers that have been authorized.
pub(super) fn look_up(call: &Call) -> Result<Arc<Object>, Status> {
    let key = call.key()?;
    let snapshot = call.state.snapshot();
    if let Ok(wanted) = call.query.text("resourceVersion").parse() {
        require_reached(Revision(wanted), snapshot.revision())?;
    }
    snapshot.get(&key).cloned().ok_or_else(|| Status::not_found(&key.resource.to_string(), &key.name))
}

/// Refuses to answer from before the revision the caller has already seen elsewhere.
pub(super) fn require_reached(wanted: Revision, reached: Revision) -> Result<(), Status> {
    if wanted <= reached {
        return Ok(());
    }
    let message = format!("Too large resource version: {wanted}, current: {reached}");
    Err(Status::timeout(message).with_details(StatusDetails {
        causes: vec![StatusCause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }],
        retry_after_seconds: 1,
        ..StatusDetails::default()
    }))
}
