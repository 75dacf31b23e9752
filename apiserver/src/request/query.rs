//! The query of a request.

use form_urlencoded::parse;

use sampan_core::status::Status;

/// The parameters of a request, in the order given.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a URI after `?`.
    pub(crate) fn new(query: Option<&str>) -> Self {
        Self(parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; empty where it is not given.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// The first value of a parameter that is given, be it empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is given and not `false` or `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.given(name).is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// A number; `None` where it is not given.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| Status::bad_request(format!("{name}: {text:?} is no number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_set_unless_it_says_false() {
        for (query, expect) in [
            ("a", true),
            ("a=", true),
            ("a=true", true),
            ("a=1", true),
            ("a=False", false),
            ("a=0", false),
            ("", false),
        ] {
            assert_eq!(Query::new(Some(query)).flag("a"), expect, "{query}");
        }
    }

    #[test]
    fn values_are_decoded_and_kept_in_order() {
        let query = Query::new(Some("command=sh&command=-c&command=echo%20a+b"));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo a b"]);
        assert!(Query::new(Some("limit=x")).number("limit").is_err());
    }
}
