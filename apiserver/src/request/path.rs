//! Paths of resources: `/api/v1/…` and `/apis/<group>/<version>/…`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use sampan_core::object::Name;
use sampan_core::resource::{Registry, Scope, Served};
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
    /// Whether it is the old form of a watch, `/api/v1/watch/…`.
    pub(crate) watches: bool,
}

/// What the path of a request names; `None` where it is not below a group's version.
///
/// # Errors
/// `NotFound` where nothing is served.
pub(crate) fn resolve(path: &str, registry: &Registry) -> Option<Result<ResourcePath, Status>> {
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
    Some(resolve_below(group, version, rest, registry).ok_or_else(Status::no_such_path))
}

fn resolve_below(group: &str, version: &str, rest: &[&str], registry: &Registry) -> Option<ResourcePath> {
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
    let (name, subresource) = match rest {
        [] => (None, None),
        [name] => (Some(*name), None),
        [name, subresource] => (Some(*name), Some(*subresource)),
        _ => return None,
    };
    let in_place = match served.definition.scope {
        Scope::Cluster => namespace.is_none(),
        // Without a namespace, objects of all of them are read, but none is named.
        Scope::Namespaced => namespace.is_some() || name.is_none(),
    };
    let whole = [namespace, name, subresource].into_iter().flatten().all(|segment| !segment.is_empty());
    (in_place && whole).then(|| ResourcePath {
        served,
        namespace: namespace.map(Name::from),
        name: name.map(Name::from),
        subresource: subresource.map(Name::from),
        watches,
    })
}

/// Whether `/namespaces/<name>/<word>` is a part of the namespace and not a resource type in it.
fn is_own_part(group: &str, version: &str, word: &str, registry: &Registry) -> bool {
    registry.served(group, version, "namespaces").is_some_and(|namespaces| namespaces.definition.has_subresource(word))
}
