//! Lines found, of many runs, by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::line::{LineRef, Lines, Stream};
use crate::matcher::Matcher;
use crate::query::Query;
use crate::run::Run;
use crate::segment::{Blocks, Segment};

/// A line that was found, or stands beside one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub run: Arc<Run>,
    /// Counts the lines of the run, from 0.
    pub sequence: u64,
    /// When Docker took it, in nanoseconds of the epoch.
    pub time_ns: i64,
    /// Where it was written to.
    pub stream: Stream,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Whether it is what was looked for, not what stands beside it.
    pub is_match: bool,
}

/// Lines found, by time; lines of one run always in the order they were written. Blocks are read as lines are taken.
#[derive(Debug)]
pub struct Search {
    query: Query,
    matcher: Matcher,
    cursors: Vec<RunCursor>,
    /// The time and the number of each cursor that has a line at hand, the earliest first.
    heads: Option<BinaryHeap<Reverse<(i64, usize)>>>,
    /// The last lines, where only those are asked for.
    last: Option<VecDeque<Found>>,
}

impl Search {
    pub(crate) fn new(query: Query, matcher: Matcher, mut cursors: Vec<RunCursor>) -> Self {
        if let Some(tail) = query.tail.filter(|_| matcher.takes_all() && query.until_ns.is_none()) {
            cursors.iter_mut().for_each(|cursor| cursor.leave_out_all_but(tail as u64));
        }
        Self { query, matcher, cursors, heads: None, last: None }
    }

    fn merged(&mut self) -> io::Result<Option<Found>> {
        if self.heads.is_none() {
            let mut heads = BinaryHeap::with_capacity(self.cursors.len());
            for (index, cursor) in self.cursors.iter_mut().enumerate() {
                heads.extend(cursor.time(&self.query, &self.matcher)?.map(|time| Reverse((time, index))));
            }
            self.heads = Some(heads);
        }
        let Some(heads) = &mut self.heads else { return Ok(None) };
        let Some(Reverse((_, index))) = heads.pop() else { return Ok(None) };
        let Some(cursor) = self.cursors.get_mut(index) else { return Ok(None) };
        let found = cursor.ready.pop_front();
        heads.extend(cursor.time(&self.query, &self.matcher)?.map(|time| Reverse((time, index))));
        Ok(found)
    }

    fn last_lines(&mut self, count: usize) -> io::Result<VecDeque<Found>> {
        let mut last = VecDeque::new();
        while let Some(found) = self.merged()? {
            if last.len() == count {
                last.pop_front();
            }
            if count > 0 {
                last.push_back(found);
            }
        }
        Ok(last)
    }
}

impl Iterator for Search {
    type Item = io::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(count) = self.query.tail else { return self.merged().transpose() };
        if self.last.is_none() {
            match self.last_lines(count) {
                Ok(last) => self.last = Some(last),
                Err(error) => return Some(Err(error)),
            }
        }
        self.last.as_mut().and_then(VecDeque::pop_front).map(Ok)
    }
}

/// The lines of one run, block by block.
#[derive(Debug)]
pub(crate) struct RunCursor {
    run: Arc<Run>,
    segments: VecDeque<Segment>,
    blocks: Option<Blocks>,
    waiting: Option<Lines>,
    first_sequence: u64,
    /// Found and not taken.
    ready: VecDeque<Found>,
    /// The last lines passed over: the next may be a match that wants them shown.
    before: VecDeque<Found>,
    /// How many lines are still shown behind a match.
    after_left: usize,
    /// The latest time so far: a clock set back does not bring lines out of their order.
    latest_ns: i64,
}

impl RunCursor {
    pub(crate) fn new(run: Arc<Run>, segments: VecDeque<Segment>, waiting: Lines, first_sequence: u64) -> Self {
        Self {
            run,
            segments,
            blocks: None,
            waiting: Some(waiting),
            first_sequence,
            ready: VecDeque::new(),
            before: VecDeque::new(),
            after_left: 0,
            latest_ns: i64::MIN,
        }
    }

    pub(crate) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// Leaves out what is not among the last `count` lines: whole segments here, blocks as they come.
    fn leave_out_all_but(&mut self, count: u64) {
        let end = self.waiting.as_ref().map_or(0, Lines::end_sequence);
        self.first_sequence = self.first_sequence.max(end.saturating_sub(count));
        let waiting = self.waiting.as_ref().map_or(0, |waiting| waiting.len() as u64);
        let mut rest = waiting + self.segments.iter().map(|segment| segment.lines).sum::<u64>();
        while let Some(first) = self.segments.front().filter(|first| rest - first.lines >= count) {
            rest -= first.lines;
            self.segments.pop_front();
        }
    }

    /// The time of the line at hand, after looking for one. Nothing where there are no more.
    fn time(&mut self, query: &Query, matcher: &Matcher) -> io::Result<Option<i64>> {
        while self.ready.is_empty() {
            // Where no line beside a match is wanted, a block without one need not be taken apart.
            let is_whole = query.before > 0 || self.after_left > 0;
            let may_match = |bytes: &[u8]| is_whole || matcher.may_match(bytes);
            let Some(lines) = self.next_block(query, may_match)? else { return Ok(None) };
            self.sift(&lines, query, matcher);
        }
        let time = self.ready.front().map(|found| found.time_ns);
        self.latest_ns = self.latest_ns.max(time.unwrap_or(i64::MIN));
        Ok(time.map(|_| self.latest_ns))
    }

    /// The next lines that may hold something, in whole blocks: none of those on disk whose bytes are not wanted.
    pub(crate) fn next_block(&mut self, query: &Query, is_wanted: impl Fn(&[u8]) -> bool) -> io::Result<Option<Lines>> {
        loop {
            if let Some(blocks) = &mut self.blocks {
                let Some(header) = blocks.header()? else {
                    self.blocks = None;
                    continue;
                };
                let is_due =
                    query.overlaps(header.earliest_ns, header.latest_ns) && header.end_sequence() > self.first_sequence;
                if !is_due {
                    blocks.skip(&header)?;
                    continue;
                }
                let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a block of lines is damaged");
                let raw = header.unpack(&blocks.payload(&header)?).ok_or_else(damaged)?;
                if !is_wanted(&raw) {
                    continue;
                }
                return Ok(Some(header.parse(&raw).ok_or_else(damaged)?));
            }
            let Some(segment) = self.segments.pop_front() else { return Ok(self.waiting.take()) };
            if query.overlaps(segment.earliest_ns, segment.latest_ns) {
                self.blocks = match Blocks::open(&segment.path, segment.bytes) {
                    Ok(blocks) => Some(blocks),
                    // Removed by the limits since the search began.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    Err(error) => return Err(error),
                };
            }
        }
    }

    /// Puts what is asked for of these lines at hand.
    fn sift(&mut self, lines: &Lines, query: &Query, matcher: &Matcher) {
        let hopeless = !matcher.may_match(&lines.text);
        if hopeless && self.after_left == 0 {
            let last = lines.iter().rev().take(query.before).collect::<Vec<_>>();
            last.into_iter().rev().for_each(|line| self.pass_over(line, query));
            return;
        }
        for line in lines.iter() {
            if line.sequence < self.first_sequence || !query.overlaps(line.time_ns, line.time_ns) {
                continue;
            }
            if !hopeless && matcher.matches(line.text) {
                self.ready.append(&mut self.before);
                self.ready.push_back(self.found(line, true));
                self.after_left = query.after;
            } else if self.after_left > 0 {
                self.after_left -= 1;
                self.ready.push_back(self.found(line, false));
            } else {
                self.pass_over(line, query);
            }
        }
    }

    fn pass_over(&mut self, line: LineRef<'_>, query: &Query) {
        if query.before == 0 || line.sequence < self.first_sequence || !query.overlaps(line.time_ns, line.time_ns) {
            return;
        }
        if self.before.len() >= query.before {
            self.before.pop_front();
        }
        self.before.push_back(self.found(line, false));
    }

    fn found(&self, line: LineRef<'_>, is_match: bool) -> Found {
        let LineRef { sequence, time_ns, stream, text } = line;
        Found { run: self.run.clone(), sequence, time_ns, stream, text: text.to_vec(), is_match }
    }
}
