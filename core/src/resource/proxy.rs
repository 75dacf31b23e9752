//! Whom a proxy of the API leads to.

use std::net::IpAddr;

/// What a path names before `/proxy`: `name`, `name:port` or `scheme:name:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyName<'a> {
    /// Whether the server speaks TLS. Its certificate is not checked: nobody has given pods one for their address.
    pub is_tls: bool,
    /// The object's name.
    pub name: &'a str,
    /// The port, a number or a name; empty where the object is to tell.
    pub port: &'a str,
}

/// Whom a proxy leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Any of these servers; there is at least one.
    Any(Vec<(IpAddr, u16)>),
    /// The daemon of the node of that name.
    Node(String),
}

impl<'a> ProxyName<'a> {
    /// Reads it; `None` where it names nobody, or a scheme that is no scheme.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, name, port) = match *text.split(':').collect::<Vec<_>>().as_slice() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme @ ("" | "http" | "https"), name, port] => (scheme, name, port),
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { is_tls: scheme == "https", name, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_tell_scheme_and_port() {
        let read = |text| ProxyName::parse(text).map(|it| (it.is_tls, it.name, it.port));
        assert_eq!(read("web"), Some((false, "web", "")));
        assert_eq!(read("web:80"), Some((false, "web", "80")));
        assert_eq!(read("https:web:"), Some((true, "web", "")));
        assert_eq!(read("http:web:http"), Some((false, "web", "http")));
        for none in ["", ":80", "ftp:web:21", "http:web:80:1"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
