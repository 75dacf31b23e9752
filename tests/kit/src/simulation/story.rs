//! What happened, for people and for comparison.

use std::collections::VecDeque;
use std::fmt;

use jiff::Timestamp;
use sampan_core::store::{Event, Origin, WatchChange};

use crate::cluster::EPOCH;

/// Lines kept of everything that happened last.
const RECENT_LINES: usize = 60;
/// Lines kept of what users and faults did.
const DEEDS_KEPT: usize = 400;

/// The history of a run: a hash over all of it, and the lines that tell most.
#[derive(Debug, Clone)]
pub(super) struct Story {
    hash: u64,
    deeds: VecDeque<String>,
    recent: VecDeque<String>,
}

impl Default for Story {
    fn default() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, deeds: VecDeque::new(), recent: VecDeque::new() }
    }
}

impl Story {
    /// Tells of something a user or a fault did.
    pub(super) fn deed(&mut self, at: Timestamp, what: fmt::Arguments<'_>) {
        let line = self.line(at, what);
        keep(&mut self.deeds, line.clone(), DEEDS_KEPT);
        keep(&mut self.recent, line, RECENT_LINES);
    }

    /// Tells of something that followed.
    pub(super) fn tell(&mut self, at: Timestamp, what: fmt::Arguments<'_>) {
        let line = self.line(at, what);
        keep(&mut self.recent, line, RECENT_LINES);
    }

    fn line(&mut self, at: Timestamp, what: fmt::Arguments<'_>) -> String {
        let since = at.duration_since(EPOCH);
        let line = format!("{:>6}.{:06} s  {what}", since.as_secs(), since.subsec_micros().unsigned_abs());
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        line
    }

    /// The same for the same history, byte for byte.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// What users and faults did, and then all that happened last.
    pub(super) fn lines(&self) -> Vec<String> {
        let first = self.recent.front();
        let before = self.deeds.iter().take_while(|line| first.is_none_or(|first| *line < first));
        before.chain(&self.recent).cloned().collect()
    }
}

fn keep(lines: &mut VecDeque<String>, line: String, most: usize) {
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// A change in one line.
pub(super) struct Line<'a>(pub(super) &'a Event);

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0;
        let verb = match &event.change {
            WatchChange::Added(_) => "created",
            WatchChange::Modified { before, after } if before.metadata() != after.metadata() => "changed",
            WatchChange::Modified { .. } => "updated",
            WatchChange::Removed(_) => "removed",
        };
        write!(formatter, "{} {} {verb} by ", event.revision, event.key)?;
        match &*event.origin {
            Origin::Manifest { file, .. } => formatter.write_str(file),
            Origin::Request { user, .. } | Origin::Report { user, .. } => formatter.write_str(user),
            Origin::Decision { operator, snapshot, .. } => write!(formatter, "{operator} at {snapshot}"),
            Origin::Node { name } => formatter.write_str(name),
            Origin::System { purpose } => formatter.write_str(purpose),
        }
    }
}
