//! Whether a line holds what is looked for.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use crate::query::{Query, QueryError};

/// The most memory a compiled expression may take, in bytes: it is users' input.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// Whether a line holds what is looked for. Expressions run in time linear in the line.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    text: Option<Finder<'static>>,
    expressions: Vec<Regex>,
}

impl Matcher {
    pub(crate) fn new(query: &Query) -> Result<Self, QueryError> {
        let compile = |pattern: &str| {
            let mut builder = RegexBuilder::new(pattern);
            let built = builder.case_insensitive(query.ignore_case).size_limit(EXPRESSION_BYTES_MAX).build();
            built.map_err(|source| QueryError::Expression { pattern: pattern.to_owned(), source })
        };
        let mut expressions = Vec::new();
        let mut text = None;
        match &query.text {
            Some(words) if query.ignore_case => expressions.push(compile(&regex::escape(words))?),
            words => text = words.as_ref().map(|words| Finder::new(words.as_bytes()).into_owned()),
        }
        if let Some(pattern) = &query.regex {
            expressions.push(compile(pattern)?);
        }
        Ok(Self { text, expressions })
    }

    /// Whether every line is looked for.
    pub(crate) fn takes_all(&self) -> bool {
        self.text.is_none() && self.expressions.is_empty()
    }

    /// Whether some of these lines may match, whose texts are among these bytes: all of them are looked through at once.
    pub(crate) fn may_match(&self, bytes: &[u8]) -> bool {
        self.text.as_ref().is_none_or(|text| text.find(bytes).is_some())
    }

    pub(crate) fn matches(&self, line: &[u8]) -> bool {
        self.text.as_ref().is_none_or(|text| text.find(line).is_some())
            && self.expressions.iter().all(|expression| expression.is_match(line))
    }
}
