//! A request passed on to another server, and its answer passed back.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Uri};
use sampan_core::access::{Attributes, Identity};
use sampan_core::status::Status;
use tokio::time::timeout;

use super::path::Asked;
use super::{ApiService, front_proxy};
use crate::node::NodeStream;
use crate::proxy::{ANSWER_TIMEOUT, passed_back, passed_to_server, send, switch};
use crate::request::Query;
use crate::response::{self, Body, Response};
use crate::state::State;

/// Passes a request on, if who asks may do what is asked.
///
/// # Errors
/// `Forbidden` where they may not; `ServiceUnavailable` where the server breaks off.
pub(crate) async fn pass_on(
    state: &State,
    identity: &Arc<Identity>,
    request: Request<Incoming>,
    query: &Query,
    service: &ApiService,
) -> Result<Response, Status> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(asked) = Asked::read(&parts.method, path, query) {
        state.authorize(&asked.attributes(identity))?;
    } else {
        let verb = parts.method.as_str().to_ascii_lowercase();
        state.authorize(&Attributes::path(identity, &verb, path))?;
    }
    if !service.is_available() {
        return Ok(unavailable("service unavailable"));
    }
    let snapshot = state.snapshot();
    let connecting = timeout(ANSWER_TIMEOUT, service.connect(&snapshot, state.aggregator.own.get()));
    let stream: Box<dyn NodeStream> = match connecting.await {
        Ok(Ok(stream)) => Box::new(stream),
        Ok(Err(why)) => return Ok(unavailable(&format!("error trying to reach service: {why}"))),
        Err(_) => return Ok(unavailable("error trying to reach service: context deadline exceeded")),
    };
    let headers = headers(&parts, identity, &service.host());
    let uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse();
    let uri: Uri = uri.map_err(|error| Status::bad_request(format!("the request cannot be passed on: {error}")))?;
    if parts.headers.contains_key(UPGRADE) {
        return switch(state, stream, (uri, headers), (parts, body)).await;
    }
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(passed_back(send(stream, request).await?))
}

/// What the server is told: what the client says, but for who it is. That we say.
fn headers(parts: &Parts, identity: &Identity, host: &str) -> HeaderMap {
    let mut headers = passed_to_server(&parts.headers, host);
    let forged: Vec<_> = headers.keys().filter(|name| front_proxy::tells_who(name)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    front_proxy::tell(&mut headers, identity);
    headers
}

/// In plain text, as Kubernetes answers: clients make a `Status` of the code.
fn unavailable(why: &str) -> Response {
    response::typed(503, Body::Full(format!("{why}\n").into()), "text/plain; charset=utf-8")
}
