//! What a request for another server is about, as far as it has to be allowed.

use hyper::Method;
use percent_encoding::percent_decode_str;
use sampan_core::access::{Attributes, Identity, ResourceAttributes, What};

use crate::request::{FieldSelector, Query};

/// A request below `/apis/<group>/<version>`, as rules of access read it.
pub(super) struct Asked {
    verb: &'static str,
    group: String,
    namespace: Option<String>,
    resource: String,
    subresource: String,
    name: Option<String>,
}

impl Asked {
    /// What is asked at a path; `None` where it is about no resource.
    pub(super) fn read(method: &Method, path: &str, query: &Query) -> Option<Self> {
        // Decoded before it is taken apart, as the other server reads it: a slash is one however it is written.
        let path = percent_decode_str(path).decode_utf8_lossy();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let [_, group, _, rest @ ..] = segments.as_slice() else { return None };
        let (watches, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (query.flag("watch"), rest),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let [resource, rest @ ..] = rest else { return None };
        let (name, subresource) = match rest {
            [] => (None, ""),
            [name] => (Some(*name), ""),
            [name, subresource, ..] => (Some(*name), *subresource),
        };
        let verb = match (method.as_str(), name) {
            ("GET" | "HEAD", _) if watches => "watch",
            ("GET" | "HEAD" | "OPTIONS", Some(_)) => "get",
            ("GET" | "HEAD" | "OPTIONS", None) => "list",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            ("DELETE", None) => "deletecollection",
            _ => "create",
        };
        let name = name.map(str::to_owned).or_else(|| selected(verb, query));
        Some(Self {
            verb,
            group: (*group).to_owned(),
            namespace: namespace.map(str::to_owned),
            resource: (*resource).to_owned(),
            subresource: subresource.to_owned(),
            name,
        })
    }

    /// What is to be allowed to somebody.
    pub(super) fn attributes<'a>(&'a self, identity: &'a Identity) -> Attributes<'a> {
        let what = ResourceAttributes {
            group: &self.group,
            resource: &self.resource,
            subresource: &self.subresource,
            namespace: self.namespace.as_deref(),
            name: self.name.as_deref(),
            of_node: None,
        };
        Attributes { identity, verb: self.verb, what: What::Resource(what) }
    }
}

/// The one object a selector of fields names, where many are read. One that cannot be read is the other server's to refuse.
fn selected(verb: &str, query: &Query) -> Option<String> {
    let reads_many = matches!(verb, "list" | "watch");
    let fields = FieldSelector::read(reads_many.then(|| query.text("fieldSelector"))?).ok()?;
    fields.name().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_what_it_asks_for() {
        let read = |method: Method, path: &str| {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let asked = Asked::read(&method, path, &Query::new(Some(query)))?;
            let Asked { verb, group, namespace, resource, subresource, name } = asked;
            let place = [namespace.unwrap_or_default(), resource, name.unwrap_or_default(), subresource].join("|");
            Some(format!("{verb} {group} {place}"))
        };
        let cases = [
            (Method::GET, "/apis/a.io/v1", None),
            (Method::GET, "/apis/a.io/v1/tea", Some("list a.io |tea||")),
            (Method::GET, "/apis/a.io/v1/tea?watch=true", Some("watch a.io |tea||")),
            (Method::GET, "/apis/a.io/v1/watch/tea", Some("watch a.io |tea||")),
            (Method::GET, "/apis/a.io/v1/namespaces/n/tea/x", Some("get a.io n|tea|x|")),
            (Method::PUT, "/apis/a.io/v1/namespaces/n/tea/x/status", Some("update a.io n|tea|x|status")),
            (Method::POST, "/apis/a.io/v1/namespaces/n/tea", Some("create a.io n|tea||")),
            (Method::PATCH, "/apis/a.io/v1/tea/x", Some("patch a.io |tea|x|")),
            (Method::DELETE, "/apis/a.io/v1/tea/x", Some("delete a.io |tea|x|")),
            (Method::DELETE, "/apis/a.io/v1/tea", Some("deletecollection a.io |tea||")),
            (Method::DELETE, "/apis/a.io/v1/tea?fieldSelector=metadata.name%3Dx", Some("deletecollection a.io |tea||")),
            (Method::GET, "/apis/a.io/v1/tea?fieldSelector=metadata.name!%3Dx", Some("list a.io |tea||")),
            (Method::GET, "/apis/a.io/v1/namespaces/n/te%61/x/proxy/further", Some("get a.io n|tea|x|proxy")),
            (Method::GET, "/apis/a.io/v1/namespaces/n/tea/x%2Fsecret", Some("get a.io n|tea|x|secret")),
            (
                Method::GET,
                "/apis/a.io/v1/tea?watch=1&fieldSelector=a%3Db,metadata.name%3Dx",
                Some("watch a.io |tea|x|"),
            ),
        ];
        for (method, path, expected) in cases {
            assert_eq!(read(method, path).as_deref(), expected, "{path}");
        }
    }
}
