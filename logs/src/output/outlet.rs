//! One output's way through the store.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::cursor::{Cursor, Place};
use super::join::{Joined, Joiner, Multiline};
use super::selection::Selection;
use crate::line::Lines;
use crate::passage::Passage;
use crate::run::Run;
use crate::store::Store;

/// Bytes of records sent at once: what is lost with a connection is sent again.
const CHUNK_BYTES: usize = 1 << 20;
/// What a record takes beside its text, in bytes, about.
const RECORD_BYTES: usize = 400;

/// What an output sends.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Whose lines.
    pub selection: Selection,
    /// Of what is kept already, only from the first line on that was taken at this time or later, in nanoseconds of the epoch.
    /// What comes after that is sent whatever time it bears: clocks are set back.
    pub since_ns: Option<i64>,
    /// How many bytes of segments may wait; past that the oldest are given up.
    pub waiting_bytes_max: Option<u64>,
    /// How lines are joined.
    pub multiline: Option<Multiline>,
}

/// Records that are sent and acknowledged together.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The records, those of each run in order.
    pub records: Vec<Joined>,
    bytes: usize,
    touched: BTreeSet<String>,
    places: BTreeMap<String, Place>,
}

/// Where a run is read on.
#[derive(Debug, Clone, Copy)]
struct Reading {
    next: u64,
    before_ns: i64,
    /// Up to here lines were on disk when the cursor was kept.
    durable: u64,
}

/// One output's way through the store: what is read, what is sent, what is delivered.
///
/// # Guarantees
/// Every line that is selected and kept is in a chunk, or was before the cursor. A chunk counts once it is
/// [acknowledged](Self::acknowledge); whoever is killed before that sends its lines again, with the same ids.
#[derive(Debug)]
pub struct Outlet {
    plan: Plan,
    cursor: Cursor,
    reading: BTreeMap<String, Reading>,
    joiner: Joiner,
    chunk: Chunk,
    forgotten: u64,
}

impl Outlet {
    /// Goes on from a cursor; without one, from the beginning of what is kept.
    pub fn new(plan: Plan, cursor: Option<Cursor>, store: &Store) -> Self {
        let joiner = Joiner::new(plan.multiline.clone());
        let forgotten = store.forgotten_count();
        let cursor = match cursor {
            Some(cursor) => without_gone(cursor, store),
            None => beginning(&plan, store),
        };
        Self { plan, cursor, reading: BTreeMap::new(), joiner, chunk: Chunk::default(), forgotten }
    }

    /// What was delivered so far, to be kept.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Looks at what is kept: what is to be read by now, and what is gone.
    ///
    /// # Errors
    /// When the line an earlier place was behind cannot be read.
    pub fn survey(&mut self, store: &Store) -> io::Result<Passage> {
        self.count_forgotten(store);
        let selected: Vec<Arc<Run>> = store.runs().filter(|run| self.plan.selection.selects(run)).cloned().collect();
        let mut from = BTreeMap::new();
        for run in &selected {
            let reading = self.reading.get(&run.id).copied().unwrap_or_else(|| self.start(&run.id));
            let Some(mut reading) = proved(reading, &run.id, store)? else { continue };
            let first = store.first_sequence(&run.id);
            self.cursor.dropped += first.saturating_sub(reading.next);
            reading.next = reading.next.max(first);
            self.reading.insert(run.id.clone(), reading);
            from.insert(run.id.clone(), reading.next);
        }
        self.give_up(&mut from, store);
        Ok(store.passage(&from))
    }

    /// Reads on until a chunk is full or there is nothing more.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn fill(&mut self, passage: &mut Passage, now: Instant) -> io::Result<()> {
        while !self.chunk.is_full() {
            let Some((run, lines)) = passage.next_block()? else { break };
            if !self.take(&run, &lines, now) {
                passage.put_back(run, lines);
            }
        }
        Ok(())
    }

    /// Ends records that have waited long enough for their next line.
    pub fn expire(&mut self, now: Instant) {
        let before = self.chunk.records.len();
        self.joiner.expire(now, &mut self.chunk.records);
        self.chunk.note(before);
    }

    /// When the next record has waited long enough.
    pub fn due(&self) -> Option<Instant> {
        self.joiner.due()
    }

    /// What is to be sent now; without records where nothing is, or what was read is not sent.
    pub fn seal(&mut self) -> Chunk {
        let mut chunk = std::mem::take(&mut self.chunk);
        for id in std::mem::take(&mut chunk.touched) {
            let Some(reading) = self.reading.get(&id) else { continue };
            let (next, before_ns) = self.joiner.begun(&id).unwrap_or((reading.next, reading.before_ns));
            chunk.places.insert(id, Place { next, before_ns, durable: 0, end: 0 });
        }
        chunk
    }

    /// The chunk is delivered: its lines are behind us.
    pub fn acknowledge(&mut self, chunk: Chunk, store: &Store) {
        self.cursor.delivered += chunk.records.iter().map(|joined| u64::from(joined.lines)).sum::<u64>();
        for (id, place) in chunk.places {
            if let Some((durable, end)) = store.ends_of(&id) {
                self.cursor.places.insert(id, Place { durable: durable.min(place.next), end, ..place });
            }
        }
    }

    /// How many lines are not delivered yet.
    pub fn waiting(&self, store: &Store) -> u64 {
        let selected = store.runs().filter(|run| self.plan.selection.selects(run));
        let behind = selected.map(|run| {
            let delivered = self.cursor.places.get(&run.id).map_or(0, |place| place.next);
            let end = store.ends_of(&run.id).map_or(0, |(_, end)| end);
            end.saturating_sub(delivered.max(store.first_sequence(&run.id)))
        });
        behind.sum()
    }

    /// Where a run is read that is new here: behind what was delivered, else from its beginning.
    fn start(&self, id: &str) -> Reading {
        let Place { next, before_ns, durable, .. } = self.cursor.places.get(id).copied().unwrap_or_default();
        Reading { next, before_ns, durable }
    }

    /// Runs of which nothing is left: what of them was not sent is gone.
    fn count_forgotten(&mut self, store: &Store) {
        for (run, end) in store.forgotten_since(self.forgotten) {
            if self.plan.selection.selects(run) {
                let next = self.reading.get(&run.id).map_or_else(|| self.start(&run.id).next, |it| it.next);
                self.cursor.dropped += end.saturating_sub(next);
            }
            self.reading.remove(&run.id);
            self.cursor.places.remove(&run.id);
        }
        self.forgotten = store.forgotten_count();
    }

    /// Gives the oldest segments up while more of them wait than may.
    fn give_up(&mut self, from: &mut BTreeMap<String, u64>, store: &Store) {
        let Some(most) = self.plan.waiting_bytes_max else { return };
        while store.bytes_behind(from) > most {
            let Some((id, end)) = store.oldest_behind(from) else { return };
            let Some(reading) = self.reading.get_mut(&id) else { return };
            self.cursor.dropped += end.saturating_sub(reading.next);
            reading.next = end;
            self.chunk.touched.insert(id.clone());
            from.insert(id, end);
        }
    }

    /// Takes a block of lines. False where the chunk was full before its end.
    fn take(&mut self, run: &Arc<Run>, lines: &Lines, now: Instant) -> bool {
        let Some(reading) = self.reading.get_mut(&run.id) else { return true };
        self.chunk.touched.insert(run.id.clone());
        let first = reading.next;
        for line in lines.iter().skip_while(|line| line.sequence < first) {
            if self.chunk.is_full() {
                return false;
            }
            self.cursor.dropped += line.sequence - reading.next;
            let before = self.chunk.records.len();
            self.joiner.push(run, line, reading.before_ns, now, &mut self.chunk.records);
            self.chunk.note(before);
            *reading = Reading { next: line.sequence + 1, before_ns: line.time_ns, durable: line.sequence + 1 };
        }
        true
    }
}

impl Chunk {
    /// Whether nothing is to be sent and nothing was passed over.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.places.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES
    }

    /// Notes the records that came after the first so many.
    fn note(&mut self, before: usize) {
        for joined in self.records.iter().skip(before) {
            self.bytes += joined.text.len() + RECORD_BYTES;
            if !self.touched.contains(&joined.run.id) {
                self.touched.insert(joined.run.id.clone());
            }
        }
    }
}

/// The place of an output that has none: what was removed before it came was never to be sent. Runs it does not select have one
/// as well: it may be changed to.
fn beginning(plan: &Plan, store: &Store) -> Cursor {
    let places = store.runs().map(|run| {
        let since = plan.since_ns.map_or(0, |since_ns| store.first_since(&run.id, since_ns));
        let next = store.first_sequence(&run.id).max(since);
        (run.id.clone(), Place { next, before_ns: 0, durable: next, end: next })
    });
    Cursor { places: places.collect(), ..Cursor::default() }
}

/// Counts what is gone of runs that are.
fn without_gone(mut cursor: Cursor, store: &Store) -> Cursor {
    let dropped = &mut cursor.dropped;
    cursor.places.retain(|id, place| {
        let is_kept = store.ends_of(id).is_some();
        *dropped += if is_kept { 0 } else { place.end.saturating_sub(place.next) };
        is_kept
    });
    cursor
}

/// Believes a place where the line before it is the one that was sent; else goes back to what was on disk then. Nothing while
/// that line has not been collected again.
fn proved(reading: Reading, id: &str, store: &Store) -> io::Result<Option<Reading>> {
    if reading.next <= reading.durable {
        return Ok(Some(reading));
    }
    let (before, (_, end)) = (reading.next - 1, store.ends_of(id).unwrap_or_default());
    let back = Reading { next: reading.durable, before_ns: 0, ..reading };
    if before >= end {
        return Ok((!store.is_open(id)).then_some(back));
    }
    let is_same = before < store.first_sequence(id) || store.line_time(id, before)? == Some(reading.before_ns);
    Ok(Some(if is_same { Reading { durable: reading.next, ..reading } } else { back }))
}

#[cfg(test)]
mod tests;
