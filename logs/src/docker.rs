//! Entries of the files Docker's driver `json-file` writes.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use crate::line::Stream;

/// An entry: a line, or a part of one that is longer than 16 KiB.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) time_ns: i64,
    pub(crate) stream: Stream,
    pub(crate) text: Cow<'a, str>,
    /// Whether the line ends here.
    pub(crate) ends_line: bool,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Reads an entry, without the newline behind it. Nothing where it is none.
pub(crate) fn entry(bytes: &[u8]) -> Option<Entry<'_>> {
    let written: Written<'_> = serde_json::from_slice(bytes).ok()?;
    let time: Timestamp = written.time.parse().ok()?;
    let time_ns = i64::try_from(time.as_nanosecond()).ok()?;
    let stream = if written.stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    let ends_line = written.log.ends_with('\n');
    let text = match written.log {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('\n').unwrap_or(text)),
        Cow::Owned(mut text) => {
            if ends_line {
                text.pop();
            }
            Cow::Owned(text)
        }
    };
    Some(Entry { time_ns, stream, text, ends_line })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, expect: Option<(i64, Stream, &str, bool)>) {
        let found = entry(written.as_bytes());
        let found = found.as_ref().map(|entry| (entry.time_ns, entry.stream, &*entry.text, entry.ends_line));
        assert_eq!(found, expect, "{written}");
    }

    #[test]
    fn entries_are_lines_or_parts_of_them() {
        let line = r#"{"log":"a \"b\" é\u0007\n","stream":"stderr","time":"1970-01-01T00:00:01.000000007Z"}"#;
        check(line, Some((1_000_000_007, Stream::Stderr, "a \"b\" é\u{7}", true)));
        let part = r#"{"log":"part","stream":"stdout","attrs":{"k":"v"},"time":"1970-01-01T00:00:00Z"}"#;
        check(part, Some((0, Stream::Stdout, "part", false)));
        check(r#"{"log":"\n","stream":"stdout","time":"1970-01-01T00:00:00Z"}"#, Some((0, Stream::Stdout, "", true)));
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for written in ["", "{", "null", r#"{"log":"x\n"}"#, r#"{"log":"x\n","time":"yesterday"}"#, "\u{0}\u{0}"] {
            check(written, None);
        }
    }
}
