//! What outputs ask the store.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{RunLog, Store};
use crate::line::Lines;
use crate::passage::Passage;
use crate::query::Query;
use crate::run::Run;
use crate::search::RunCursor;
use crate::segment::Segment;

/// Runs remembered of which nothing is left: an output that looks after this many more were forgotten does not count them.
const FORGOTTEN_MAX: usize = 4096;

/// Runs of which nothing is left, so that outputs can tell what they did not send of them.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// The run and the sequence behind its last line; the oldest are let go.
    last: std::collections::VecDeque<(Arc<Run>, u64)>,
    count: u64,
}

impl Forgotten {
    pub(super) fn note(&mut self, run: Arc<Run>, end: u64) {
        self.last.push_back((run, end));
        self.count += 1;
        if self.last.len() > FORGOTTEN_MAX {
            self.last.pop_front();
        }
    }
}

impl Store {
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.values().map(|log| &log.run)
    }

    /// How many runs were forgotten since the store was opened.
    pub(crate) fn forgotten_count(&self) -> u64 {
        self.forgotten.count
    }

    /// The runs that were forgotten after the first `count`.
    pub(crate) fn forgotten_since(&self, count: u64) -> impl Iterator<Item = (&Arc<Run>, u64)> {
        let new = usize::try_from(self.forgotten.count - count).unwrap_or(usize::MAX);
        let known = self.forgotten.last.len().saturating_sub(new);
        self.forgotten.last.iter().skip(known).map(|(run, end)| (run, *end))
    }

    /// The sequence behind the last line of a run that is on disk, and behind the last that was taken.
    pub(crate) fn ends_of(&self, id: &str) -> Option<(u64, u64)> {
        self.runs.get(id).map(|log| (log.waiting.first_sequence, log.waiting.end_sequence()))
    }

    /// Whether more may come of a run.
    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.runs.get(id).is_some_and(|log| log.is_open)
    }

    /// The sequence of the first line that is kept of a run.
    pub(crate) fn first_sequence(&self, id: &str) -> u64 {
        let Some(log) = self.runs.get(id) else { return 0 };
        log.segments.first().map_or(log.waiting.first_sequence, |segment| segment.end_sequence - segment.lines)
    }

    /// The sequence of the first line of a run that was taken at this time or later; behind its last where there is none.
    pub(crate) fn first_since(&self, id: &str, since_ns: i64) -> u64 {
        let Some(log) = self.runs.get(id) else { return 0 };
        let older = log.segments.iter().take_while(|segment| segment.latest_ns < since_ns);
        let first = older.last().map_or(0, |segment| segment.end_sequence);
        let query = Query { since_ns: Some(since_ns), ..Query::default() };
        let Some(mut cursor) = log.cursor_from(first) else { return log.waiting.end_sequence() };
        loop {
            match cursor.next_block(&query, |_| true) {
                Ok(None) => return log.waiting.end_sequence(),
                Ok(Some(lines)) => {
                    let young = lines.iter().find(|line| line.time_ns >= since_ns);
                    if let Some(line) = young {
                        return line.sequence;
                    }
                }
                // Rather too many than too few.
                Err(_) => return first,
            }
        }
    }

    /// The time of a line, where it is kept.
    pub(crate) fn line_time(&self, id: &str, sequence: u64) -> io::Result<Option<i64>> {
        let mut passage = self.passage(&BTreeMap::from([(id.to_owned(), sequence)]));
        let block = passage.next_block()?;
        let line = block.as_ref().and_then(|(_, lines)| lines.iter().find(|line| line.sequence == sequence));
        Ok(line.map(|line| line.time_ns))
    }

    /// The lines of these runs from these sequences on.
    pub(crate) fn passage(&self, from: &BTreeMap<String, u64>) -> Passage {
        let behind = from.iter().filter_map(|(id, first)| self.runs.get(id)?.cursor_from(*first));
        Passage::new(behind.collect())
    }

    /// What lines from these sequences on take on disk and in memory, in whole segments.
    pub(crate) fn bytes_behind(&self, from: &BTreeMap<String, u64>) -> u64 {
        let logs = from.iter().filter_map(|(id, first)| Some((self.runs.get(id)?, *first)));
        let bytes = logs.map(|(log, first)| {
            let kept: u64 = log.segments_from(first).map(|segment| segment.bytes).sum();
            let waiting = if first < log.waiting.end_sequence() { log.waiting.text.len() as u64 } else { 0 };
            kept + waiting
        });
        bytes.sum()
    }

    /// The run with the oldest segment that holds lines from these sequences on, and the sequence behind that.
    pub(crate) fn oldest_behind(&self, from: &BTreeMap<String, u64>) -> Option<(String, u64)> {
        let firsts = from.iter().filter_map(|(id, first)| Some((id, self.runs.get(id)?.segments_from(*first).next()?)));
        let (id, segment) = firsts.min_by_key(|(_, segment)| segment.latest_ns)?;
        Some((id.clone(), segment.end_sequence))
    }
}

impl RunLog {
    pub(super) fn segments_from(&self, first: u64) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.end_sequence > first)
    }

    /// Reads the run from a sequence on. Nothing where there is nothing.
    fn cursor_from(&self, first: u64) -> Option<RunCursor> {
        if first >= self.waiting.end_sequence() {
            return None;
        }
        let waiting: Lines = self.waiting.from(first);
        Some(RunCursor::new(self.run.clone(), self.segments_from(first).cloned().collect(), waiting, first))
    }
}
