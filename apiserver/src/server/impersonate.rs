//! Acting as somebody else, for those who may: `kubectl --as`.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::HeaderMap;
use percent_encoding::percent_decode_str;
use sampan_core::access::{ANONYMOUS, AUTHENTICATED, Attributes, Identity, ResourceAttributes, UNAUTHENTICATED, What};
use sampan_core::status::Status;

use crate::state::State;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// What a service account's user name begins with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// As whom the request acts: the caller, or whom the caller names and may be.
///
/// # Errors
/// `Forbidden` where the caller may not act as one of those named; `BadRequest` where no user is named, but more of one.
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

/// Whom the headers name.
fn wanted(headers: &HeaderMap) -> Result<Option<Identity>, Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let groups = headers.get_all(GROUP).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
    let wanted = Identity { user: text(USER), uid: text(UID), groups, extra: extra(headers)? };
    if wanted == Identity::default() {
        return Ok(None);
    }
    match wanted.user.is_empty() {
        true => Err(Status::bad_request("requested groups, uid or extra without impersonating a user")),
        false => Ok(Some(wanted)),
    }
}

fn extra(headers: &HeaderMap) -> Result<BTreeMap<String, Vec<String>>, Status> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(EXTRA) else { continue };
        let key = percent_decode_str(key).decode_utf8();
        let key = key.map_err(|_| Status::bad_request(format!("the header {name} does not name a key")))?;
        extra.entry(key.into_owned()).or_default().push(value.to_str().unwrap_or_default().to_owned());
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
