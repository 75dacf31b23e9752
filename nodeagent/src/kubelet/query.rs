//! The query of a request.

use jiff::Timestamp;

use super::Refused;

/// The parameters of a request, in order.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn of(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self { pairs: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect() }
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether any of these parameters is set to something true.
    pub(super) fn flag(&self, names: &[&str]) -> bool {
        names.iter().any(|name| matches!(self.get(name), Some("1" | "true" | "True" | "t" | "")))
    }

    /// A parameter that must be a number from 0 on if it is there.
    pub(super) fn count(&self, name: &str) -> Result<Option<i64>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number >= 0);
        let number =
            number.ok_or_else(|| Refused::BadRequest(format!("{name}: {text:?} is not a number from 0 on")))?;
        Ok(Some(number))
    }

    /// A parameter that must be a time if it is there.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let time =
            text.parse().map_err(|_| Refused::BadRequest(format!("{name}: {text:?} is not an RFC 3339 time")))?;
        Ok(Some(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_that_is_not_negative() {
        let cases = [
            ("n=0", Some(Some(0))),
            ("n=9223372036854775807", Some(Some(i64::MAX))),
            ("", Some(None)),
            ("n=-1", None),
            ("n=-9223372036854775808", None),
            ("n=9223372036854775808", None),
            ("n=x", None),
        ];
        for (query, expect) in cases {
            assert_eq!(Query::of(Some(query)).count("n").ok(), expect, "{query}");
        }
    }
}
