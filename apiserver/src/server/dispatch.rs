//! Which part of the server a path belongs to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Request};
use sampan_core::status::Status;

use super::Caller;
use crate::call::Call;
use crate::metrics::Observed;
use crate::request::{Query, resolve};
use crate::response::{self, Response};
use crate::state::State;
use crate::{discovery, health, verbs, why};

/// How long a request waits for its turn before it is sent away.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// The answer to a request.
pub(super) async fn answer(state: Arc<State>, caller: Caller, request: Request<Incoming>) -> Response {
    let started = Instant::now();
    let mut observed = Observed { verb: "other", resource: "" };
    let answered = route(&state, caller, request, &mut observed).await;
    let response = answered.unwrap_or_else(|status| response::refusal(&status));
    state.metrics.observe(&observed, response.status().as_u16(), started.elapsed());
    response
}

async fn route(
    state: &Arc<State>,
    caller: Caller,
    request: Request<Incoming>,
    observed: &mut Observed,
) -> Result<Response, Status> {
    let path = request.uri().path();
    let query = Query::new(request.uri().query());
    if let Some(answer) = health::answer(path, &query, state) {
        return Ok(answer);
    }
    let Caller::Known(identity) = caller else {
        return Err(Status::unauthorized());
    };
    let registry = state.registry();
    if let Some(resolved) = resolve(path, &registry) {
        let call = Call::new(state.clone(), identity, request, query, resolved?);
        *observed = call.observed();
        let _turn = take_turn(state, &call).await?;
        return verbs::serve(call).await;
    }
    if request.method() != Method::GET {
        return Err(Status::no_such_path());
    }
    if path == "/metrics" || why::serves(path) {
        state.require_admin(&identity, path)?;
        if path == "/metrics" {
            return Ok(response::bytes(state.metrics_text(), "text/plain; version=0.0.4"));
        }
        return why::answer(state.clone(), path.to_owned()).await;
    }
    discovery::answer(path, &query, request.headers(), &registry).unwrap_or_else(|| Err(Status::no_such_path()))
}

/// Requests take turns; those that last, such as watches, do not count.
async fn take_turn<'a>(state: &'a State, call: &Call) -> Result<Option<tokio::sync::SemaphorePermit<'a>>, Status> {
    if call.lasts() {
        return Ok(None);
    }
    let turn = tokio::time::timeout(TURN_TIMEOUT, state.turns.acquire()).await;
    match turn {
        Ok(permit) => Ok(permit.ok()),
        Err(_) => Err(Status::too_many_requests("too many requests, please try again later")),
    }
}
