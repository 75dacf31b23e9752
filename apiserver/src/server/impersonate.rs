//! Acting as somebody else, for those who may: `kubectl --as`.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use sampan_core::access::{ANONYMOUS, AUTHENTICATED, Attributes, Identity, ResourceAttributes, UNAUTHENTICATED, What};
use sampan_core::status::Status;

use crate::state::State;

/// What the name of every header begins with that names somebody to act as.
const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// What a service account's user name begins with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// As whom the request acts: the caller, or whom the caller names and may be.
///
/// # Errors
/// `Forbidden` where the caller may not act as one of those named; `BadRequest` where more of somebody is named but no user,
/// or a name cannot be read.
pub(super) fn impersonate(state: &State, caller: Arc<Identity>, headers: &HeaderMap) -> Result<Arc<Identity>, Status> {
    let Some(mut wanted) = wanted(headers)? else {
        return Ok(caller);
    };
    for asked in needed(&wanted) {
        state.authorize(&Attributes { identity: &caller, verb: "impersonate", what: What::Resource(asked) })?;
    }
    complete(&mut wanted);
    Ok(Arc::new(wanted))
}

/// Whom the headers name. One such header is enough that the request is not the caller's own, whatever it says.
fn wanted(headers: &HeaderMap) -> Result<Option<Identity>, Status> {
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Ok(None);
    }
    let one = |name: &str| headers.get(name).map_or(Ok(String::new()), |value| text(name, value));
    let groups = headers.get_all(GROUP).iter().map(|value| text(GROUP, value)).collect::<Result<_, _>>()?;
    let wanted = Identity { user: one(USER)?, uid: one(UID)?, groups, extra: extra(headers)? };
    match wanted.user.is_empty() {
        true => Err(Status::bad_request("requested groups, uid or extra without impersonating a user")),
        false => Ok(Some(wanted)),
    }
}

/// What a header says, in UTF-8 as names are.
fn text(name: &str, value: &HeaderValue) -> Result<String, Status> {
    let text = str::from_utf8(value.as_bytes());
    text.map(str::to_owned).map_err(|_| Status::bad_request(format!("the header {name} is not UTF-8")))
}

fn extra(headers: &HeaderMap) -> Result<BTreeMap<String, Vec<String>>, Status> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(EXTRA) else { continue };
        let key = percent_decode_str(key).decode_utf8();
        let key = key.map_err(|_| Status::bad_request(format!("the header {name} does not name a key")))?;
        extra.entry(key.into_owned()).or_default().push(text(name.as_str(), value)?);
    }
    Ok(extra)
}

/// Everything the caller must be allowed to act as.
fn needed(wanted: &Identity) -> Vec<ResourceAttributes<'_>> {
    let core = |resource, name| ResourceAttributes { resource, name: Some(name), ..ResourceAttributes::default() };
    let mut needed = vec![match service_account(&wanted.user) {
        Some((namespace, name)) => ResourceAttributes { namespace: Some(namespace), ..core("serviceaccounts", name) },
        None => core("users", wanted.user.as_str()),
    }];
    needed.extend(wanted.groups.iter().map(|group| core("groups", group)));
    let group = "authentication.k8s.io";
    if !wanted.uid.is_empty() {
        needed.push(ResourceAttributes { group, ..core("uids", &wanted.uid) });
    }
    for (key, values) in &wanted.extra {
        let of = |value| ResourceAttributes { group, subresource: key, ..core("userextras", value) };
        needed.extend(values.iter().map(|value| of(value)));
    }
    needed
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')
}

/// What goes without saying: a service account's groups, and that somebody is known or not.
fn complete(wanted: &mut Identity) {
    if let Some((namespace, name)) = service_account(&wanted.user).filter(|_| wanted.groups.is_empty()) {
        wanted.groups = Identity::service_account(namespace, name).groups;
    }
    let implied = if wanted.user == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if ![AUTHENTICATED, UNAUTHENTICATED].iter().any(|group| wanted.is_in(group)) {
        wanted.groups.push(implied.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &[u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn whoever_names_somebody_is_that_or_refused_and_never_the_caller() {
        let jorg = "Jörg".as_bytes();
        let cases: [(&[(&'static str, &[u8])], Option<Option<&str>>); 9] = [
            (&[("accept", b"a")], Some(None)),
            (&[(USER, b"ann")], Some(Some("ann"))),
            (&[(USER, jorg)], Some(Some("Jörg"))),
            (&[(USER, b"J\xf6rg")], None),
            (&[(USER, b"")], None),
            (&[(USER, b"ann"), (GROUP, b"\xff")], None),
            (&[(USER, b"ann"), (UID, b"\xff")], None),
            (&[(USER, b"ann"), ("impersonate-extra-scope", b"\xff")], None),
            (&[(GROUP, jorg)], None),
        ];
        for (pairs, expect) in cases {
            let found = wanted(&headers(pairs)).ok().map(|wanted| wanted.map(|wanted| wanted.user));
            assert_eq!(found, expect.map(|user| user.map(str::to_owned)), "{pairs:?}");
        }
    }

    #[test]
    fn every_name_is_kept_as_it_was_sent() {
        let group = "Gäste".as_bytes();
        let sent = headers(&[(USER, b"ann"), (GROUP, group), ("impersonate-extra-team", group)]);
        let wanted = wanted(&sent).unwrap().unwrap();
        assert_eq!((wanted.groups, wanted.extra["team"].clone()), (vec!["Gäste".to_owned()], vec!["Gäste".to_owned()]));
    }
}
