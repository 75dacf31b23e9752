//! What is served: `/`, `/api`, `/apis`, `/openapi`.

mod aggregated;
mod catalogue;
mod gnostic;
mod openapi;
mod plain;
mod subresource;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use sampan_core::resource::Registry;
use sampan_core::status::Status;
use serde_json::Value;

use self::catalogue::Catalogue;
use crate::request::{Accept, Query, Shape};
use crate::response::{self, Response};

/// The answer to a discovery path; `None` where the path is none.
pub(crate) fn answer(
    path: &str,
    query: &Query,
    headers: &HeaderMap,
    registry: &Registry,
) -> Option<Result<Response, Status>> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let catalogue = || Catalogue::of(registry);
    let found = match segments.as_slice() {
        [""] => Ok(document(&plain::paths(&catalogue()), query)),
        ["api"] => root(headers, query, &catalogue(), Root::Core),
        ["apis"] => root(headers, query, &catalogue(), Root::Groups),
        ["api", version] => plain::resources(&catalogue(), "", version).map(|value| document(&value, query)),
        ["apis", group] => plain::group(&catalogue(), group).map(|value| document(&value, query)),
        ["apis", group, version] => plain::resources(&catalogue(), group, version).map(|value| document(&value, query)),
        ["openapi", "v2"] => Ok(openapi::v2(&catalogue(), headers)),
        ["openapi", "v3"] => Ok(response::bytes(openapi::index(&catalogue()), response::JSON)),
        ["openapi", "v3", root @ ..] => openapi::document(&catalogue(), root).map(|it| cacheable(it, query)),
        _ => return None,
    };
    Some(found)
}

/// The two halves of the API.
#[derive(Clone, Copy)]
enum Root {
    Core,
    Groups,
}

fn root(headers: &HeaderMap, query: &Query, catalogue: &Catalogue, root: Root) -> Result<Response, Status> {
    if let Shape::Discovery(version) = Accept::discovery(headers)?.shape {
        let list = aggregated::list(catalogue, root, version);
        let content_type = aggregated::content_type(version);
        return Ok(with_etag(headers, list.to_string().into(), content_type));
    }
    Ok(document(&plain::root(catalogue, root), query))
}

fn document(value: &Value, query: &Query) -> Response {
    response::json(200, value, query.flag("pretty"))
}

/// Clients keep what they have while the tag stays the same.
fn with_etag(headers: &HeaderMap, body: Bytes, content_type: &'static str) -> Response {
    let hash = body
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let tag = format!("\"{hash:016X}\"");
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut answer = if known { response::empty(304) } else { response::bytes(body, content_type) };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(ETAG, value);
    }
    answer
}

/// An OpenAPI document asked for by its hash never changes.
fn cacheable(body: Vec<u8>, query: &Query) -> Response {
    let mut answer = response::bytes(body, response::JSON);
    if !query.text("hash").is_empty() {
        answer.headers_mut().insert("cache-control", HeaderValue::from_static("public, immutable"));
    }
    answer
}
