//! Several lines as one record, as stack traces are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::bytes::{Regex, RegexBuilder};

use super::parser::{EXPRESSION_BYTES_MAX, PatternError};
use crate::line::{LineRef, Stream};
use crate::run::Run;

/// The most lines of a record; what goes on after them is the next one.
const LINES_MAX: u32 = 1000;
/// The most bytes of a record of several lines.
const BYTES_MAX: usize = 1 << 20;

/// How lines are joined.
#[derive(Debug, Clone)]
pub struct Multiline {
    /// What the first line of a record matches, and no other.
    first_line: Regex,
    /// How long a record waits for its next line.
    pub timeout: Duration,
}

impl Multiline {
    /// Records begin with a line that matches `first_line`.
    ///
    /// # Errors
    /// When that is no expression, or takes too much memory.
    pub fn new(first_line: &str, timeout: Duration) -> Result<Self, PatternError> {
        let first_line = RegexBuilder::new(first_line).size_limit(EXPRESSION_BYTES_MAX).build()?;
        Ok(Self { first_line, timeout })
    }
}

/// Lines that are one record, often a single one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Whose they are.
    pub run: Arc<Run>,
    /// The sequence of the first.
    pub first: u64,
    /// How many they are.
    pub lines: u32,
    /// When Docker took the first, in nanoseconds of the epoch.
    pub time_ns: i64,
    /// Where they were written to.
    pub stream: Stream,
    /// Their bytes, with a newline between every two.
    pub text: Vec<u8>,
}

/// A record that may go on.
#[derive(Debug)]
struct Open {
    joined: Joined,
    /// The time of the line before its first.
    before_ns: i64,
    due: Instant,
}

/// Joins the lines of many runs, those of each stream by themselves.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    multiline: Option<Multiline>,
    open: BTreeMap<(String, u8), Open>,
}

impl Joiner {
    /// Without rules each line is a record.
    pub(crate) fn new(multiline: Option<Multiline>) -> Self {
        Self { multiline, open: BTreeMap::new() }
    }

    /// Takes a line, which follows one of the time `before_ns`, and tells the records that are whole by it.
    pub(crate) fn push(
        &mut self,
        run: &Arc<Run>,
        line: LineRef<'_>,
        before_ns: i64,
        now: Instant,
        whole: &mut Vec<Joined>,
    ) {
        let LineRef { sequence: first, time_ns, stream, text } = line;
        let joined = || Joined { run: run.clone(), first, lines: 1, time_ns, stream, text: text.to_vec() };
        let Some(multiline) = self.multiline.as_ref().filter(|_| stream != Stream::Notice) else {
            whole.push(joined());
            return;
        };
        let (key, due) = ((run.id.clone(), stream as u8), now + multiline.timeout);
        if let Some(open) = self.open.get_mut(&key).filter(|open| open.takes(text, multiline)) {
            open.joined.text.push(b'\n');
            open.joined.text.extend_from_slice(text);
            open.joined.lines += 1;
            open.due = due;
            return;
        }
        let before = self.open.insert(key, Open { joined: joined(), before_ns, due });
        whole.extend(before.map(|open| open.joined));
    }

    /// Ends records that have waited long enough.
    pub(crate) fn expire(&mut self, now: Instant, whole: &mut Vec<Joined>) {
        whole.extend(self.open.extract_if(.., |_, open| open.due <= now).map(|(_, open)| open.joined));
    }

    /// When the next record has waited long enough.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.open.values().map(|open| open.due).min()
    }

    /// Where the first record of a run begins that may go on, and the time of the line before it.
    pub(crate) fn begun(&self, id: &str) -> Option<(u64, i64)> {
        let of_run = self.open.range((id.to_owned(), 0)..).take_while(|((run, _), _)| run == id);
        of_run.map(|(_, open)| (open.joined.first, open.before_ns)).min()
    }
}

impl Open {
    fn takes(&self, text: &[u8], multiline: &Multiline) -> bool {
        self.joined.lines < LINES_MAX
            && self.joined.text.len() + text.len() < BYTES_MAX
            && !multiline.first_line.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> Arc<Run> {
        let [namespace, pod, uid, container, node] = ["shop", "web-0", "u", "main", "here"].map(str::to_owned);
        Arc::new(Run { id: id.to_owned(), namespace, pod, uid, container, attempt: 0, node, labels: BTreeMap::new() })
    }

    fn joiner() -> Joiner {
        let multiline = Multiline::new(r"^\S", Duration::from_secs(5)).unwrap();
        Joiner::new(Some(multiline))
    }

    struct Feed {
        joiner: Joiner,
        begin: Instant,
        whole: Vec<Joined>,
    }

    impl Feed {
        fn new() -> Self {
            Self { joiner: joiner(), begin: Instant::now(), whole: Vec::new() }
        }

        fn line(&mut self, id: &str, sequence: u64, stream: Stream, text: &str, after_s: u64) {
            let line = LineRef { sequence, time_ns: sequence as i64 * 10, stream, text: text.as_bytes() };
            let now = self.begin + Duration::from_secs(after_s);
            self.joiner.push(&run(id), line, sequence as i64 * 10 - 10, now, &mut self.whole);
        }

        fn told(&mut self) -> Vec<(u64, u32, String)> {
            let whole = std::mem::take(&mut self.whole);
            whole.into_iter().map(|it| (it.first, it.lines, String::from_utf8(it.text).unwrap())).collect()
        }
    }

    #[test]
    fn a_stack_trace_is_one_record_whatever_is_written_between_its_lines() {
        let mut feed = Feed::new();
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        feed.line("1", 0, err, "Panic", 0);
        feed.line("1", 1, out, "served", 0);
        feed.line("1", 2, err, "  at a", 1);
        feed.line("2", 0, err, "  of another run", 1);
        feed.line("1", 3, err, "  at b", 1);
        assert_eq!(feed.joiner.begun("1"), Some((0, -10)));
        assert_eq!(feed.told(), []);
        feed.line("1", 4, err, "next", 2);
        assert_eq!(feed.told(), [(0, 3, "Panic\n  at a\n  at b".to_owned())]);
        assert_eq!(feed.joiner.begun("1"), Some((1, 0)));
        feed.line("1", 5, Stream::Notice, "[lines are missing]", 2);
        assert_eq!(feed.told(), [(5, 1, "[lines are missing]".to_owned())]);
    }

    #[test]
    fn a_record_waits_for_its_next_line_so_long_and_no_longer() {
        let mut feed = Feed::new();
        feed.line("1", 0, Stream::Stdout, "a", 0);
        feed.line("1", 1, Stream::Stdout, " b", 3);
        let due = feed.joiner.due().unwrap();
        assert_eq!(due, feed.begin + Duration::from_secs(8), "each line prolongs it");
        let mut whole = Vec::new();
        feed.joiner.expire(feed.begin + Duration::from_millis(7999), &mut whole);
        assert_eq!(whole, []);
        feed.joiner.expire(due, &mut whole);
        assert_eq!(whole.len(), 1);
        assert_eq!((feed.joiner.due(), feed.joiner.begun("1")), (None, None));
        feed.line("1", 2, Stream::Stdout, " late", 9);
        feed.line("1", 3, Stream::Stdout, "c", 9);
        assert_eq!(feed.told(), [(2, 1, " late".to_owned())], "what comes late is a record by itself");
    }

    #[test]
    fn a_record_without_end_is_cut() {
        let mut feed = Feed::new();
        for sequence in 0..=u64::from(LINES_MAX) {
            feed.line("1", sequence, Stream::Stdout, " x", 0);
        }
        assert_eq!(feed.told().iter().map(|(first, lines, _)| (*first, *lines)).collect::<Vec<_>>(), [(0, LINES_MAX)]);
        let long = format!(" {}", "x".repeat(BYTES_MAX));
        feed.line("1", 2000, Stream::Stdout, &long, 0);
        assert_eq!(feed.told().len(), 1);
    }
}
