//! A proxy to servers in the cluster: requests passed on, answers passed back, with the links in them led through the proxy.

mod headers;
mod links;
mod server;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, UPGRADE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use sampan_core::status::Status;
use tokio::time::timeout;

pub(crate) use headers::passed_to_server;
pub(crate) use server::{ANSWER_TIMEOUT, Server};

use self::links::Links;
use crate::node::{IDLE_TIMEOUT, NodeStream, carry};
use crate::response::{Body, Response, with_body};
use crate::state::State;

/// The largest page whose links are led through the proxy, in bytes.
const PAGE_BYTES_MAX: usize = 10 << 20;

/// Passes a request on to a server, and its answer back.
///
/// # Errors
/// When the server cannot be reached, or breaks off before it has answered.
pub(crate) async fn pass(
    state: &State,
    server: &Server,
    (parts, body): (Parts, Incoming),
    beyond: &str,
) -> Result<Response, Status> {
    if parts.headers.contains_key(UPGRADE) {
        return upgrade(state, server, (parts, body), beyond).await;
    }
    let host = host(&parts);
    let own_path = parts.uri.path();
    let prefix = own_path.strip_suffix(beyond).unwrap_or(own_path).trim_end_matches('/').to_owned();
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri(&parts, beyond)?;
    *request.headers_mut() = headers::passed_on(&parts.headers, &host, own_path);
    let answer = send(server.connect(&*state.nodes).await?, request).await?;
    lead_through(answer, &Links { prefix: &prefix, hosts: [&server.authority(), &host] }).await
}

/// Passes on a request to speak another protocol, and from then on carries bytes both ways.
async fn upgrade(
    state: &State,
    server: &Server,
    (parts, body): (Parts, Incoming),
    beyond: &str,
) -> Result<Response, Status> {
    let uri = uri(&parts, beyond)?;
    let headers = headers::upgrading(&parts.headers, &host(&parts), parts.uri.path());
    let stream = server.connect(&*state.nodes).await?;
    switch(state, stream, (uri, headers), (parts, body)).await
}

/// Asks the server at the other end to speak another protocol, and from then on carries bytes both ways.
///
/// # Errors
/// When there are too many such streams, or the server breaks off before it has answered.
pub(crate) async fn switch(
    state: &State,
    stream: Box<dyn NodeStream>,
    (uri, headers): (hyper::Uri, HeaderMap),
    (parts, body): (Parts, Incoming),
) -> Result<Response, Status> {
    let slot = state.streams.clone().try_acquire_owned();
    let slot = slot.map_err(|_| Status::too_many_requests("too many streams to servers, please try again later"))?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    let mut answer = send(stream, request).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(passed_back(answer));
    }
    let mut response = with_body(101, Body::Empty);
    *response.headers_mut() = answer.headers().clone();
    let server_side = hyper::upgrade::on(&mut answer);
    let client_side = hyper::upgrade::on(Request::from_parts(parts, body));
    let shutdown = state.shutdown.clone();
    tokio::spawn(async move {
        let carried = async {
            let Ok((client, server)) = tokio::try_join!(client_side, server_side) else { return };
            carry(TokioIo::new(client), TokioIo::new(server), IDLE_TIMEOUT).await;
        };
        tokio::select! {
            () = carried => {}
            () = shutdown.cancelled() => {}
        }
        drop(slot);
    });
    Ok(response)
}

/// What the client calls the proxy: HTTP/2 says so in the address.
fn host(parts: &Parts) -> String {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    header.or(parts.uri.authority().map(hyper::http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

fn uri(parts: &Parts, beyond: &str) -> Result<hyper::Uri, Status> {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("/{beyond}{query}").parse();
    uri.map_err(|error| Status::bad_request(format!("the request cannot be passed on: {error}")))
}

/// Sends a request on a fresh connection.
///
/// # Errors
/// When the server breaks off before it has answered.
pub(crate) async fn send<B>(
    stream: Box<dyn NodeStream>,
    request: Request<B>,
) -> Result<hyper::Response<Incoming>, Status>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let failed = |error: hyper::Error| Status::unavailable(format!("error trying to reach service: {error}"));
    let (mut sender, connection) = timeout(ANSWER_TIMEOUT, handshake(TokioIo::new(stream)))
        .await
        .map_err(|_| server::too_late())?
        .map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a server in the cluster broke off");
        }
    });
    sender.send_request(request).await.map_err(failed)
}

/// The answer as it comes.
pub(crate) fn passed_back(answer: hyper::Response<Incoming>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut response = with_body(parts.status.as_u16(), Body::Forwarded(body));
    *response.headers_mut() = headers::passed_back(&parts.headers);
    response
}

/// The answer, whose links lead through the proxy where they led to the server.
async fn lead_through(answer: hyper::Response<Incoming>, links: &Links<'_>) -> Result<Response, Status> {
    let told = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let place = links.through(told(LOCATION)).and_then(|place| place.parse().ok());
    let is_page = told(CONTENT_TYPE).split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    let is_page = is_page && told(LOCATION).is_empty() && told(CONTENT_ENCODING).is_empty();
    let mut response = passed_back(answer);
    if let Some(place) = place {
        response.headers_mut().insert(LOCATION, place);
    }
    if !is_page {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let page = Limited::new(body, PAGE_BYTES_MAX).collect().await;
    let page = page.map_err(|error| Status::unavailable(format!("failed to read a page: {error}")))?.to_bytes();
    if parts.headers.remove(CONTENT_LENGTH).is_some() && page.is_empty() {
        // The answer to HEAD: the length of what is not here is not known.
        return Ok(Response::from_parts(parts, Body::Empty));
    }
    Ok(Response::from_parts(parts, Body::Full(links.rewrite(&page).into())))
}
