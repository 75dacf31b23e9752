//! Which headers go through a proxy.

use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

/// What is said between neighbours and not passed on, RFC 9110 section 7.6.1.
const OF_THE_CONNECTION: [HeaderName; 5] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// What a server behind the proxy is told of a request. Who asks is for us to know alone, as whom as well. A page is asked for
/// as it is, because its links are read.
pub(super) fn passed_on(given: &HeaderMap, host: &str, path: &str) -> HeaderMap {
    let mut headers = kept(given, |name| {
        *name != AUTHORIZATION && *name != ACCEPT_ENCODING && !name.as_str().starts_with("impersonate-")
    });
    for (name, value) in [("host", host), ("x-forwarded-host", host), ("x-forwarded-uri", path)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// What another server of the API is told of a request, as it is said but for who asks.
pub(crate) fn passed_to_server(given: &HeaderMap, host: &str) -> HeaderMap {
    let mut headers = kept(given, |name| *name != AUTHORIZATION && !name.as_str().starts_with("impersonate-"));
    for name in [CONNECTION, UPGRADE].iter().filter(|_| given.contains_key(UPGRADE)) {
        if let Some(value) = given.get(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(HOST, host);
    }
    headers
}

/// The same, where another protocol is asked for.
pub(super) fn upgrading(given: &HeaderMap, host: &str, path: &str) -> HeaderMap {
    let mut headers = passed_on(given, host, path);
    for name in [CONNECTION, UPGRADE] {
        if let Some(value) = given.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers
}

/// What the client is told of an answer.
pub(super) fn passed_back(given: &HeaderMap) -> HeaderMap {
    kept(given, |_| true)
}

fn kept(given: &HeaderMap, keep: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let named: Vec<&str> = given.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()).collect();
    let is_named = |name: &HeaderName| {
        named.iter().flat_map(|list| list.split(',')).any(|word| word.trim().eq_ignore_ascii_case(name.as_str()))
    };
    let is_near = |name: &HeaderName| {
        OF_THE_CONNECTION.contains(name)
            || is_named(name)
            || name.as_str() == "keep-alive"
            || name.as_str().starts_with("proxy-")
    };
    let kept = given.iter().filter(|(name, _)| !is_near(name) && keep(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_not_told_and_the_connection_stays_here() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("impersonate-user", "admin"),
            ("connection", "Upgrade, X-Near"),
            ("x-near", "1"),
            ("upgrade", "websocket"),
            ("accept", "a"),
            ("cookie", "b"),
        ] {
            given.insert(name, HeaderValue::from_static(value));
        }
        let names = |headers: HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            names
        };
        let expect = ["accept", "cookie", "host", "x-forwarded-host", "x-forwarded-uri"];
        assert_eq!(names(passed_on(&given, "api:6443", "/api")), expect);
        let expect = ["accept", "connection", "cookie", "host", "upgrade", "x-forwarded-host", "x-forwarded-uri"];
        assert_eq!(names(upgrading(&given, "api:6443", "/api")), expect);
    }
}
