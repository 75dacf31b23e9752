//! Addresses of the web.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::value::Key;
use super::super::{EvalError, Value};
use super::{Answer, Call};

pub(super) const NAMES: &[&str] =
    &["url", "isURL", "getScheme", "getHost", "getHostname", "getPort", "getEscapedPath", "getQuery"];

/// An address of the web, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub(super) text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// Absolute, or a path from the root.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.contains(|c: char| c.is_ascii_control() || c == ' ') {
            return None;
        }
        let (rest, _fragment) = text.split_once('#').unwrap_or((text, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ if rest.starts_with('/') => (String::new(), rest),
            _ => return None,
        };
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.find('/').map_or((rest, ""), |at| rest.split_at(at)),
            None => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        Some(Self {
            text: text.to_owned(),
            scheme,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }

    /// The name and the port; an address of version 6 stands in brackets.
    fn host_and_port(&self) -> (&str, &str) {
        if let Some((address, rest)) = self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return (address, rest.strip_prefix(':').unwrap_or_default());
        }
        self.host.split_once(':').unwrap_or((&self.host, ""))
    }

    fn query<'a>(&self) -> BTreeMap<Key, Value<'a>> {
        let mut found: BTreeMap<Key, Vec<Value<'a>>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            found.entry(Key::Text(unescaped(name).into())).or_default().push(Value::text(unescaped(value)));
        }
        found.into_iter().map(|(name, values)| (name, Value::list(values))).collect()
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = (byte == b'%').then(|| {
            let mut ahead = rest.clone();
            let digits = [ahead.next()?, ahead.next()?];
            let value = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
            rest = ahead;
            Some(value)
        });
        bytes.push(match (escaped.flatten(), byte) {
            (Some(value), _) => value,
            (None, b'+') => b' ',
            (None, other) => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    match (call.room, &call.target, call.arguments.as_slice()) {
        (None, None, [Value::Text(text)]) => match call.name {
            "url" => Some(Url::parse(text).map(|url| Value::Url(Arc::new(url))).ok_or_else(|| {
                EvalError::failed(format!("URL parse error during conversion from string: parse {:?}", &**text))
            })),
            "isURL" => Some(Ok(Value::Bool(Url::parse(text).is_some()))),
            _ => None,
        },
        (None, Some(Value::Url(url)), []) => Some(Ok(match call.name {
            "getScheme" => Value::text(&url.scheme),
            "getHost" => Value::text(&url.host),
            "getHostname" => Value::text(url.host_and_port().0),
            "getPort" => Value::text(url.host_and_port().1),
            "getEscapedPath" => Value::text(&url.path),
            "getQuery" => Value::Map(Arc::new(url.query())),
            _ => return None,
        })),
        _ => None,
    }
}
