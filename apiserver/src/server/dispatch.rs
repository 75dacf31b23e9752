//! Which part of the server a path belongs to.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request};
use sampan_core::access::Attributes;
use sampan_core::resource::Registry;
use sampan_core::status::Status;

use super::Caller;
use super::authenticate::authenticate;
use super::impersonate::impersonate;
use crate::aggregator::{Aggregator, pass_on};
use crate::call::Call;
use crate::metrics::Observed;
use crate::request::{Query, resolve};
use crate::response::{self, Response};
use crate::state::State;
use crate::{discovery, feed, health, logs, openid, verbs, why};

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
    let identity = authenticate(state, caller, request.headers())?;
    let identity = impersonate(state, identity, request.headers())?;
    let registry = state.registry();
    if let Some(service) = Aggregator::answering_at(path, &state.snapshot(), &registry) {
        return pass_on(state, &identity, request, &query, &service).await;
    }
    if let Some(resolved) = resolve(path, &registry) {
        let call = Call::new(state.clone(), identity, request, query, resolved?);
        *observed = call.observed();
        return verbs::serve(call).await;
    }
    if logs::serves(path) && request.method() == Method::GET {
        return logs::answer(state, &identity, &query).await;
    }
    let verb = request.method().as_str().to_ascii_lowercase();
    state.authorize(&Attributes::path(&identity, &verb, path))?;
    if request.method() != Method::GET {
        return Err(Status::no_such_path());
    }
    at_path(state, path, &query, request.headers(), &registry).await
}

/// The answer at a path that is no resource.
async fn at_path(
    state: &Arc<State>,
    path: &str,
    query: &Query,
    headers: &HeaderMap,
    registry: &Registry,
) -> Result<Response, Status> {
    if let Some(answer) = health::answer(path, query, state) {
        return Ok(answer);
    }
    if path == "/metrics" {
        return Ok(response::bytes(state.metrics_text(), "text/plain; version=0.0.4"));
    }
    if logs::serves_counts(path) {
        return Ok(logs::counts(state).await);
    }
    if let Some(operator) = feed::operator_at(path) {
        return Ok(feed::answer(state, operator));
    }
    if why::serves(path) {
        return why::answer(state.clone(), path.to_owned()).await;
    }
    let tokens = state.cluster.gateway().tokens();
    if let Some((document, content_type)) = tokens.and_then(|tokens| openid::answer(path, tokens)) {
        return Ok(response::bytes(document.to_string(), content_type));
    }
    let elsewhere = || state.aggregator.versions(&state.snapshot(), &state.registry());
    discovery::answer(path, query, headers, registry, elsewhere).unwrap_or_else(|| Err(Status::no_such_path()))
}
