//! The fields of a line.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// How fields are read from a record's text.
#[derive(Debug, Clone, Default)]
pub enum Parser {
    /// They are not.
    #[default]
    Plain,
    /// The text is a JSON object.
    Json,
    /// The named groups of an expression.
    Regex(Regex),
}

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PatternError(#[from] regex::Error);

/// The most memory a compiled expression may take, in bytes: it is users' input.
pub(super) const EXPRESSION_BYTES_MAX: usize = 1 << 20;

impl Parser {
    /// Fields are the named groups of an expression.
    ///
    /// # Errors
    /// When it is none, or takes too much memory.
    pub fn regex(pattern: &str) -> Result<Self, PatternError> {
        Ok(Self::Regex(RegexBuilder::new(pattern).size_limit(EXPRESSION_BYTES_MAX).build()?))
    }

    /// The fields. Nothing where the text is not understood: then it is sent as it is.
    pub fn fields(&self, text: &str) -> Option<Map<String, Value>> {
        match self {
            Self::Plain => None,
            Self::Json => serde_json::from_str(text).ok(),
            Self::Regex(expression) => {
                let found = expression.captures(text)?;
                let names = expression.capture_names().flatten();
                let named = names.filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().into())));
                Some(named.collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(parser: &Parser, text: &str, expect: Value) {
        let found = parser.fields(text).map_or(Value::Null, Value::Object);
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn lines_of_json_are_their_fields_and_others_are_none() {
        check(&Parser::Json, r#"{"level":"warn","n":[1,{"a":null}]}"#, json!({"level": "warn", "n": [1, {"a": null}]}));
        check(&Parser::Json, " {} ", json!({}));
        for text in ["", "plain", "[1]", "7", "null", r#"{"a":1} trailing"#, r#"{"a":"#] {
            check(&Parser::Json, text, Value::Null);
        }
    }

    #[test]
    fn named_groups_are_fields_and_groups_that_took_no_part_are_none() {
        let parser = Parser::regex(r"^(?<level>[A-Z]+)(?: \[(?<thread>\w+)\])? (?<log>(?s).*)$").unwrap();
        check(&parser, "WARN [main] late\n  at x", json!({"level": "WARN", "thread": "main", "log": "late\n  at x"}));
        check(&parser, "INFO fine", json!({"level": "INFO", "log": "fine"}));
        check(&parser, "no level", Value::Null);
        check(&Parser::Plain, "{}", Value::Null);
    }

    proptest! {
        #[test]
        fn nothing_a_container_writes_is_too_much(text in "\\PC*|[\\[{]{0,2000}") {
            let _ = Parser::Json.fields(&text);
        }

        #[test]
        fn an_object_that_was_written_comes_back(fields in prop::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..5)) {
            let text = serde_json::to_string(&fields).unwrap();
            let found = Parser::Json.fields(&text).unwrap();
            prop_assert_eq!(serde_json::to_value(fields).unwrap(), Value::Object(found));
        }
    }
}
