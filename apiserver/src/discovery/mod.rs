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
pub(crate) use self::catalogue::maturity;
use crate::aggregator::Versions;
use crate::request::{Accept, DiscoveryVersion, Query, Shape};
use crate::response::{self, Response};

/// The answer to a discovery path; `None` where the path is none.
pub(crate) fn answer(
    path: &str,
    query: &Query,
    headers: &HeaderMap,
    registry: &Registry,
    elsewhere: impl FnOnce() -> Versions,
) -> Option<Result<Response, Status>> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let catalogue = || Catalogue::of(registry);
    let found = match segments.as_slice() {
        [""] => Ok(document(&plain::paths(&catalogue()), query)),
        ["api"] => core(headers, query, &catalogue()),
        ["apis"] => groups(headers, query, &catalogue(), elsewhere()),
        ["api", version] => plain::resources(&catalogue(), "", version).map(|value| document(&value, query)),
        ["apis", group] => elsewhere()
            .into_group(group, plain::group(&catalogue(), group))
            .ok_or_else(Status::no_such_path)
            .map(|value| document(&value, query)),
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

fn core(headers: &HeaderMap, query: &Query, catalogue: &Catalogue) -> Result<Response, Status> {
    if let Shape::Discovery(version) = Accept::discovery(headers)?.shape {
        return Ok(aggregate(headers, &aggregated::list(catalogue, Root::Core, version), version));
    }
    Ok(document(&plain::root(catalogue, Root::Core), query))
}

/// All groups, those of other servers among them.
fn groups(headers: &HeaderMap, query: &Query, catalogue: &Catalogue, elsewhere: Versions) -> Result<Response, Status> {
    if let Shape::Discovery(version) = Accept::discovery(headers)?.shape {
        let mut list = aggregated::list(catalogue, Root::Groups, version);
        elsewhere.into_discovery(&mut list);
        return Ok(aggregate(headers, &list, version));
    }
    let mut groups = plain::root(catalogue, Root::Groups);
    elsewhere.into_groups(&mut groups);
    Ok(document(&groups, query))
}

fn aggregate(headers: &HeaderMap, list: &Value, version: DiscoveryVersion) -> Response {
    with_etag(headers, list.to_string().into(), aggregated::content_type(version))
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
