//! What other servers are told of who asks, and why they believe it: their clients' certificates are of an authority that vouches
//! for nobody but this process, which they find in the ConfigMap `extension-apiserver-authentication`.

use std::path::Path;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sampan_core::Timestamp;
use sampan_core::access::Identity;
use serde_json::{Value, json};

use crate::tls::{Authority, Credential, TlsError};

/// Whom other servers believe.
const CLIENT: &str = "front-proxy-client";
const USER: &str = "x-remote-user";
const UID: &str = "x-remote-uid";
const GROUP: &str = "x-remote-group";
const EXTRA: &str = "x-remote-extra-";
/// What stands as it is in the name of a header.
const IN_NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The authority behind what other servers are told, and what is shown to them.
pub struct FrontProxy {
    authority: String,
    pub(super) own: Credential,
}

impl FrontProxy {
    /// The one kept in `directory`, made there if there is none.
    ///
    /// # Errors
    /// When the directory cannot be read or written, or holds something else.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, TlsError> {
        let authority = Authority::open(directory, now)?;
        let own = authority.client(CLIENT, CLIENT, "", now)?;
        Ok(Self { authority: authority.certificate().to_owned(), own })
    }

    /// What other servers read of whom to believe, beside the authority of clients' own certificates.
    pub fn published(&self, client_authority: &str) -> Value {
        let list = |name: &str| json!([name]).to_string();
        json!({
            "client-ca-file": client_authority,
            "requestheader-client-ca-file": self.authority,
            "requestheader-allowed-names": list(CLIENT),
            "requestheader-username-headers": list("X-Remote-User"),
            "requestheader-uid-headers": list("X-Remote-Uid"),
            "requestheader-group-headers": list("X-Remote-Group"),
            "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
        })
    }
}

/// Whether a header tells who asks: nobody's but ours is passed on.
pub(super) fn tells_who(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-remote-")
}

/// Tells who asks.
pub(super) fn tell(headers: &mut HeaderMap, identity: &Identity) {
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    };
    add(USER, &identity.user);
    if !identity.uid.is_empty() {
        add(UID, &identity.uid);
    }
    identity.groups.iter().for_each(|group| add(GROUP, group));
    for (key, values) in &identity.extra {
        let name = format!("{EXTRA}{}", utf8_percent_encode(&key.to_lowercase(), IN_NAMES));
        values.iter().for_each(|value| add(&name, value));
    }
}
