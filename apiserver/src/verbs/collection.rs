//! Deletion of many objects.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sampan_core::gateway::{Action, DeleteOptions, Mutation, Options, Outcome, Subresource, Target, Verb};
use sampan_core::object::Object;
use sampan_core::status::Status;

use super::delete::read_options;
use super::selection::Selection;
use crate::call::Call;
use crate::request::{ListOptions, delete_options};
use crate::response::{self, ListMetadata, Response};

/// How many deletions are under way at once: enough for the store to group them.
const AT_ONCE: usize = 32;

/// The answer to a deletion of many: those that were deleted.
pub(super) async fn delete(call: Call) -> Result<Response, Status> {
    call.authorize(Verb::DeleteCollection)?;
    let view = call.view()?;
    let options = ListOptions::parse(&call.query, &call.path.served.definition)?;
    let selection = Selection::new(&call, &options);
    let snapshot = call.state.snapshot();
    selection.require_stored_fields()?;
    let objects = selection.of(&snapshot, None, options.limit.unwrap_or(usize::MAX));
    let origin = call.origin(Verb::DeleteCollection);
    let body = read_options(call.body, &call.parts.headers).await?;
    let (delete, write) = delete_options(&call.query, &body)?;
    let _turn = call.state.turns.take(&call.identity).await?;
    let mutation = |object: &Arc<Object>| Mutation {
        identity: (*call.identity).clone(),
        origin: origin.clone(),
        target: Target {
            served: call.path.served.clone(),
            namespace: object.key().namespace.clone(),
            name: Some(object.key().name.clone()),
            subresource: Subresource::Whole,
        },
        action: Action::DeleteAsOneOfMany(DeleteOptions { uid: Some(object.metadata().uid.clone()), ..delete.clone() }),
        options: Options { dry_run: write.dry_run, ..Options::default() },
    };
    let mutations: Vec<Mutation> = objects.iter().map(mutation).collect();
    let cluster = &call.state.cluster;
    let deleted: Vec<Option<Arc<Object>>> = stream::iter(mutations)
        .map(|mutation| async move { deleted(cluster.mutate(mutation).await) })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let metadata = ListMetadata { revision: call.state.snapshot().revision().0, ..ListMetadata::default() };
    let deleted: Vec<Bytes> = deleted.into_iter().flatten().map(|object| object.bytes().clone()).collect();
    let deleted = view.converted(cluster, deleted).await?;
    Ok(response::list(view, deleted, &metadata, false))
}

/// The object of a deletion; `None` where somebody else was faster.
fn deleted(outcome: Result<Outcome, Status>) -> Result<Option<Arc<Object>>, Status> {
    match outcome {
        Ok(Outcome::Object { object, .. }) => Ok(Some(object)),
        Ok(Outcome::Preview { .. }) => Ok(None),
        Err(status) if matches!(status.code, 404 | 409) => Ok(None),
        Err(status) => Err(status),
    }
}
