//! What a client asks of a connection, as the object that policies and webhooks judge.

use sampan_core::resource::SubresourceDefinition;
use serde_json::{Map, Value};

use crate::request::Query;

/// The parameters that are yes or no, those that are a text, and those that come as often as one likes.
const FLAGS: [&str; 4] = ["stderr", "stdin", "stdout", "tty"];
const TEXTS: [&str; 1] = ["container"];
const LISTS: [&str; 1] = ["command"];
const NUMBERS: [&str; 1] = ["ports"];

/// The options of a connection at a subresource; `beyond` is the path at a server behind a proxy.
pub(super) fn options(subresource: &SubresourceDefinition, query: &Query, beyond: Option<&str>) -> Value {
    let mut options = Map::new();
    let kind = subresource.spoken.map_or("", |spoken| spoken.kind);
    options.insert("apiVersion".to_owned(), "v1".into());
    options.insert("kind".to_owned(), kind.into());
    if let Some(beyond) = beyond {
        // What else is asked is for the server.
        options.insert("path".to_owned(), format!("/{beyond}").into());
        return Value::Object(options);
    }
    for flag in FLAGS.into_iter().filter(|flag| query.flag(flag)) {
        options.insert(flag.to_owned(), true.into());
    }
    for name in TEXTS.into_iter().filter(|name| !query.text(name).is_empty()) {
        options.insert(name.to_owned(), query.text(name).into());
    }
    let words = |name: &str| query.all(name).map(Value::from).collect::<Vec<_>>();
    let ports = |name: &str| query.all(name).filter_map(|port| port.parse::<i32>().ok()).map(Value::from).collect();
    let lists = LISTS.map(|name| (name, words(name))).into_iter().chain(NUMBERS.map(|name| (name, ports(name))));
    for (name, list) in lists.filter(|(_, list): &(_, Vec<Value>)| !list.is_empty()) {
        options.insert(name.to_owned(), list.into());
    }
    Value::Object(options)
}

#[cfg(test)]
mod tests {
    use sampan_core::resource::builtin;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connection_is_what_its_parameters_say() {
        let pods = builtin().into_iter().find(|definition| definition.kind == "Pod").unwrap();
        let of = |name: &str, query: &str, beyond| {
            options(pods.subresource(name).unwrap(), &Query::new(Some(query)), beyond)
        };
        assert_eq!(
            of("exec", "stdin=true&tty=false&container=c&command=ls&command=-l&other=1", None),
            json!({"apiVersion": "v1", "kind": "PodExecOptions", "stdin": true, "container": "c", "command": ["ls", "-l"]})
        );
        assert_eq!(
            of("portforward", "ports=80&ports=x", None),
            json!({"apiVersion": "v1", "kind": "PodPortForwardOptions", "ports": [80]})
        );
        assert_eq!(
            of("proxy", "stdin=true", Some("a/b")),
            json!({"apiVersion": "v1", "kind": "PodProxyOptions", "path": "/a/b"})
        );
    }
}
