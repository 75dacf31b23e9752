//! Eviction: a deletion that asks first.

use sampan_core::gateway::{Action, Mutation, Subresource, Verb};
use sampan_core::status::Status;
use serde_json::Value;

use super::write::{success, target};
use crate::call::Call;
use crate::request::{Content, Query, body_to_json, delete_options, read_body, write_options};
use crate::response::{self, Response};

/// The answer to an eviction.
pub(super) async fn evict(call: Call, name: &'static str) -> Result<Response, Status> {
    call.authorize(Verb::Create)?;
    let content = Content::of_object(call.headers())?;
    let options = write_options(&call.query, call.headers(), "CreateOptions")?;
    let (target, origin) = (target(&call, Subresource::Named(name))?, call.origin(Verb::Create));
    let body = body_to_json(read_body(call.body).await?, content)?;
    let eviction: Value = serde_json::from_slice(&body)
        .map_err(|error| Status::bad_request(format!("failed to decode Eviction: {error}")))?;
    let delete = eviction.get("deleteOptions").map(Value::to_string).unwrap_or_default();
    let (delete, asked) = delete_options(&Query::default(), delete.as_bytes())?;
    let options = sampan_core::gateway::Options { dry_run: options.dry_run || asked.dry_run, ..options };
    let mutation =
        Mutation { identity: (*call.identity).clone(), origin, target, action: Action::Evict(delete), options };
    let _turn = call.state.turns.take(&call.identity).await?;
    call.state.cluster.mutate(mutation).await?;
    Ok(response::json(201, &success(), call.query.flag("pretty")))
}
