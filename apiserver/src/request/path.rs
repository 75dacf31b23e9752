//! Paths of resources: `/api/v1/…` and `/apis/<group>/<version>/…`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sampan_core::object::Name;
use sampan_core::resource::{Registry, Scope, Served, SubresourceHandler};
use sampan_core::status::Status;

/// What a path names.
pub(crate) struct ResourcePath {
    /// The resource type, in the version of the path.
    pub(crate) served: Served,
    /// The namespace.
    pub(crate) namespace: Option<Name>,
    /// The object.
    pub(crate) name: Option<Name>,
    /// The part of the object.
    pub(crate) subresource: Option<Name>,
    /// What is asked of the server behind a proxy, as it was sent, without the slash before it; `None` without that slash.
    pub(crate) beyond: Option<String>,
    /// Whether it is the old form of a watch, `/api/v1/watch/…`.
    pub(crate) watches: bool,
}

/// What the path of a request names; `None` where it is not below a group's version.
///
/// # Errors
/// `NotFound` where nothing is served.
pub(crate) fn resolve(path: &str, registry: &Registry) -> Option<Result<ResourcePath, Status>> {
    let raw = path.trim_start_matches('/');
    let segments: Result<Vec<Cow<'_, str>>, _> =
        path.trim_matches('/').split('/').map(|segment| percent_decode_str(segment).decode_utf8()).collect();
    let Ok(segments) = segments else {
        return Some(Err(Status::bad_request("the path is not UTF-8")));
    };
    let segments: Vec<&str> = segments.iter().map(Cow::as_ref).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return None,
    };
    let found = resolve_below(group, version, rest, registry).map(|(mut found, beyond)| {
        found.beyond = raw.splitn(segments.len() - beyond + 1, '/').nth(segments.len() - beyond).map(str::to_owned);
        found
    });
    Some(found.ok_or_else(Status::no_such_path))
}

/// What a path names, and how many of its segments are beyond it.
fn resolve_below(group: &str, version: &str, rest: &[&str], registry: &Registry) -> Option<(ResourcePath, usize)> {
    let (watches, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let (namespace, plural, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..] if !is_own_part(group, version, plural, registry) => {
            (Some(*namespace), *plural, rest)
        }
        [plural, rest @ ..] => (None, *plural, rest),
        [] => return None,
    };
    let served = registry.served(group, version, plural)?;
    let (name, subresource, beyond) = match rest {
        [] => (None, None, 0),
        [name] => (Some(*name), None, 0),
        [name, subresource] => (Some(*name), Some(*subresource), 0),
        [name, subresource, beyond @ ..] if is_proxy(&served, subresource) => {
            (Some(*name), Some(*subresource), beyond.len())
        }
        _ => return None,
    };
    let in_place = match served.definition.scope {
        Scope::Cluster => namespace.is_none(),
        // Without a namespace, objects of all of them are read, but none is named.
        Scope::Namespaced => namespace.is_some() || name.is_none(),
    };
    let whole = [namespace, name, subresource].into_iter().flatten().all(|segment| !segment.is_empty());
    let found = (in_place && whole).then(|| ResourcePath {
        served,
        namespace: namespace.map(Name::from),
        name: name.map(Name::from),
        subresource: subresource.map(Name::from),
        beyond: None,
        watches,
    });
    Some((found?, beyond))
}

/// Whether whatever comes after the subresource in a path is another server's matter.
fn is_proxy(served: &Served, subresource: &str) -> bool {
    let found = served.definition.subresource(subresource);
    found.is_some_and(|subresource| subresource.handler == SubresourceHandler::Proxy)
}

/// Whether `/namespaces/<name>/<word>` is a part of the namespace and not a resource type in it.
fn is_own_part(group: &str, version: &str, word: &str, registry: &Registry) -> bool {
    registry.served(group, version, "namespaces").is_some_and(|namespaces| namespaces.definition.has_subresource(word))
}
