//! Lines, one by one and many together.

use serde::{Deserialize, Serialize};

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// The container's standard output.
    Stdout,
    /// The container's standard error.
    Stderr,
    /// Nowhere: Sampan tells here what it could not collect.
    Notice,
}

/// What a container wrote up to the end of a line, without that end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When Docker took it, in nanoseconds of the epoch.
    pub time_ns: i64,
    /// Where it was written to.
    pub stream: Stream,
    /// Its bytes, which need not be UTF-8.
    pub text: Vec<u8>,
}

/// A line among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRef<'a> {
    /// Counts the lines of a run, from 0.
    pub sequence: u64,
    /// When Docker took it, in nanoseconds of the epoch.
    pub time_ns: i64,
    /// Where it was written to.
    pub stream: Stream,
    /// Its bytes.
    pub text: &'a [u8],
}

/// What is known of a line beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) time_ns: i64,
    pub(crate) stream: Stream,
    /// Where its text ends among all texts.
    pub(crate) end: u32,
}

/// Consecutive lines of one run. Their texts lie one behind the other, so that all of them are searched at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    pub(crate) first_sequence: u64,
    pub(crate) marks: Vec<Mark>,
    pub(crate) text: Vec<u8>,
}

impl Lines {
    /// No lines yet, the first of which will have this sequence.
    pub(crate) fn starting_at(first_sequence: u64) -> Self {
        Self { first_sequence, ..Self::default() }
    }

    pub(crate) fn push(&mut self, line: &Line) {
        self.text.extend_from_slice(&line.text);
        let end = u32::try_from(self.text.len()).expect("a block is cut long before 4 GiB");
        self.marks.push(Mark { time_ns: line.time_ns, stream: line.stream, end });
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The sequence behind the last line.
    pub(crate) fn end_sequence(&self) -> u64 {
        self.first_sequence + self.marks.len() as u64
    }

    /// The lines from a sequence on.
    pub(crate) fn from(&self, first: u64) -> Self {
        if first <= self.first_sequence {
            return self.clone();
        }
        let mut rest = Self::starting_at(first.min(self.end_sequence()));
        let left = usize::try_from(first - self.first_sequence).unwrap_or(usize::MAX);
        let start = left.checked_sub(1).and_then(|before| self.marks.get(before)).map_or(u32::MAX, |mark| mark.end);
        let behind = self.marks.iter().skip(left);
        rest.marks = behind.map(|mark| Mark { end: mark.end - start, ..*mark }).collect();
        rest.text = self.text.get(start as usize..).unwrap_or_default().to_vec();
        rest
    }

    /// The line at an index from 0.
    pub(crate) fn at(&self, index: usize) -> Option<LineRef<'_>> {
        let mark = self.marks.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.marks.get(before)).map_or(0, |before| before.end);
        let text = self.text.get(start as usize..mark.end as usize)?;
        let sequence = self.first_sequence + index as u64;
        Some(LineRef { sequence, time_ns: mark.time_ns, stream: mark.stream, text })
    }

    /// The lines in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = LineRef<'_>> {
        (0..self.marks.len()).filter_map(|index| self.at(index))
    }

    /// The earliest and the latest time: clocks jump, so these need not be the first's and the last's.
    pub(crate) fn times(&self) -> (i64, i64) {
        let times = self.marks.iter().map(|mark| mark.time_ns);
        (times.clone().min().unwrap_or(0), times.max().unwrap_or(0))
    }
}
