//! Everything kept on a node: runs, their segments, and the lines not written yet.

mod outward;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::outward::Forgotten;
use crate::limits::{Counts, Limits};
use crate::line::{Line, Lines, Stream};
use crate::matcher::Matcher;
use crate::query::{Query, QueryError};
use crate::run::Run;
use crate::search::{RunCursor, Search};
use crate::segment::Segment;
use crate::tail::{Batch, Position};

/// Bytes of text written as one block: enough to compress well, few enough to be read for one line.
const BLOCK_BYTES: usize = 256 << 10;
/// Bytes of text a run may have waiting when the disk refuses them. Past that its files are not read on.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Bytes of a segment: what is removed at once.
const SEGMENT_BYTES: u64 = 4 << 20;
/// The file that tells whose lines a folder holds.
const RUN_FILE: &str = "run.json";
/// What is said where lines were lost.
const GAP: &str = "[lines are missing here: Docker rotated its files away before they were read]";

/// Why a store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder does not do what it should.
    #[error("failed to {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
}

fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { verb, path, source }
}

/// One run's lines.
#[derive(Debug)]
struct RunLog {
    run: Arc<Run>,
    folder: PathBuf,
    segments: Vec<Segment>,
    waiting: Lines,
    /// Behind the lines that wait.
    position: Position,
    /// More may come.
    is_open: bool,
    /// Whether [`RUN_FILE`] is there.
    is_named: bool,
}

/// Everything kept on a node.
///
/// # Guarantees
/// Lines are in the store from the moment they are [taken](Store::take): searches show them. They are on disk after
/// [`Store::flush`], or once a block of them has come together; before that, Docker's files still hold them, and
/// [`Store::begin`] tells where to read on.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    limits: Limits,
    runs: BTreeMap<String, RunLog>,
    counts: Counts,
    forgotten: Forgotten,
}

impl Store {
    /// Opens the store in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn open(folder: impl Into<PathBuf>, limits: Limits) -> Result<Self, StoreError> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder).map_err(file("create", &folder))?;
        let mut store =
            Self { folder, limits, runs: BTreeMap::new(), counts: Counts::default(), forgotten: Forgotten::default() };
        let entries = std::fs::read_dir(&store.folder).map_err(file("read", &store.folder))?;
        for entry in entries {
            let path = entry.map_err(file("read", &store.folder))?.path();
            if let Some(log) = RunLog::open(&path, &mut store.counts)? {
                store.runs.insert(log.run.id.clone(), log);
            }
        }
        Ok(store)
    }

    /// Takes up a run, and tells where to read on.
    pub fn begin(&mut self, run: Run) -> Position {
        let folder = self.folder.join(&run.id);
        let log = self.runs.entry(run.id.clone()).or_insert_with(|| RunLog::new(run, folder));
        log.is_open = true;
        log.position
    }

    /// Takes lines of a run that was begun. They are read again behind `position`.
    ///
    /// # Errors
    /// When a block cannot be written: the lines stay and are written with the next.
    pub fn take(&mut self, id: &str, batch: &Batch, position: Position) -> Result<(), StoreError> {
        let Some(log) = self.runs.get_mut(id) else { return Ok(()) };
        let last = log.waiting.marks.last().map(|mark| mark.time_ns);
        let time_ns = batch.lines.first().map(|line| line.time_ns).or(last).unwrap_or(0);
        if batch.gaps > 0 {
            log.waiting.push(&Line { time_ns, stream: Stream::Notice, text: GAP.as_bytes().to_vec() });
        }
        for line in &batch.lines {
            log.waiting.push(line);
            self.counts.bytes += line.text.len() as u64;
        }
        log.position = position;
        self.counts.lines += batch.lines.len() as u64;
        self.counts.gaps += batch.gaps;
        self.counts.damaged_entries += batch.damaged;
        if log.waiting.text.len() >= BLOCK_BYTES { self.flush(id) } else { Ok(()) }
    }

    /// Whether a run's files should not be read on: its lines cannot be written.
    pub fn is_full(&self, id: &str) -> bool {
        self.runs.get(id).is_some_and(|log| log.waiting.text.len() >= WAITING_BYTES_MAX)
    }

    /// Writes what waits of a run.
    ///
    /// # Errors
    /// When it cannot be written: it goes on waiting.
    pub fn flush(&mut self, id: &str) -> Result<(), StoreError> {
        let segment_bytes = SEGMENT_BYTES.min(self.limits.run_bytes() / 4);
        let Some(log) = self.runs.get_mut(id).filter(|log| !log.waiting.is_empty()) else { return Ok(()) };
        if let Err(error) = log.write(segment_bytes) {
            self.counts.failed_writes += 1;
            return Err(error);
        }
        self.shrink(id);
        Ok(())
    }

    /// Writes what waits of every run.
    ///
    /// # Errors
    /// The first that came up; the others are tried all the same.
    pub fn flush_all(&mut self) -> Result<(), StoreError> {
        let ids: Vec<String> = self.runs.keys().cloned().collect();
        ids.iter().map(|id| self.flush(id)).fold(Ok(()), Result::and)
    }

    /// Bytes of text that wait, all runs together.
    pub fn waiting_bytes(&self) -> usize {
        self.runs.values().map(|log| log.waiting.text.len()).sum()
    }

    /// Nothing more comes of a run.
    ///
    /// # Errors
    /// When what waits cannot be written.
    pub fn end(&mut self, id: &str) -> Result<(), StoreError> {
        if let Some(log) = self.runs.get_mut(id) {
            log.is_open = false;
        }
        self.flush(id)
    }

    /// Removes what is too old, and runs of which nothing is left.
    pub fn expire(&mut self, now_ns: i64) {
        let oldest_ns = self.limits.oldest_ns(now_ns);
        for log in self.runs.values_mut() {
            while log.may_lose_one() && log.segments.first().is_some_and(|segment| segment.latest_ns < oldest_ns) {
                self.counts.removed_lines += log.lose_first();
            }
        }
        self.runs.retain(|_, log| {
            let is_kept = log.is_open || !log.segments.is_empty() || !log.waiting.is_empty();
            if !is_kept {
                self.forgotten.note(log.run.clone(), log.waiting.end_sequence());
                remove(std::fs::remove_dir_all(&log.folder), &log.folder);
            }
            is_kept
        });
    }

    /// Keeps the limits of bytes: first the run's own, then that of all.
    fn shrink(&mut self, id: &str) {
        let run_bytes = self.limits.run_bytes();
        if let Some(log) = self.runs.get_mut(id) {
            while log.disk_bytes() > run_bytes && log.may_lose_one() {
                self.counts.removed_lines += log.lose_first();
            }
        }
        while self.disk_bytes() > self.limits.bytes {
            let losing = self.runs.values_mut().filter(|log| log.may_lose_one());
            let oldest = losing.min_by_key(|log| log.segments.first().map(|segment| segment.latest_ns));
            let Some(log) = oldest else { break };
            self.counts.removed_lines += log.lose_first();
        }
    }

    fn disk_bytes(&self) -> u64 {
        self.runs.values().map(RunLog::disk_bytes).sum()
    }

    /// What was taken in and what became of it.
    pub fn counts(&self) -> Counts {
        Counts { kept_bytes: self.disk_bytes(), ..self.counts }
    }

    /// The lines asked for, as of now.
    ///
    /// # Errors
    /// When the query makes no sense.
    pub fn search(&self, query: &Query) -> Result<Search, QueryError> {
        self.search_from(query, &BTreeMap::new())
    }

    /// The same, but of each run only lines from the sequence on that is given for its id.
    ///
    /// # Errors
    /// When the query makes no sense.
    pub fn search_from(&self, query: &Query, from: &BTreeMap<String, u64>) -> Result<Search, QueryError> {
        let matcher = Matcher::new(query)?;
        let selected = self.runs.values().filter(|log| query.selects(&log.run));
        let cursors = selected.map(|log| {
            let first = from.get(&log.run.id).copied().unwrap_or(0);
            RunCursor::new(log.run.clone(), log.segments_from(first).cloned().collect(), log.waiting.from(first), first)
        });
        Ok(Search::new(query.clone(), matcher, cursors.collect()))
    }

    /// The sequence behind the last line of each run that is asked for.
    pub fn ends(&self, query: &Query) -> BTreeMap<String, u64> {
        let selected = self.runs.values().filter(|log| query.selects(&log.run));
        selected.map(|log| (log.run.id.clone(), log.waiting.end_sequence())).collect()
    }
}

impl RunLog {
    fn new(run: Run, folder: PathBuf) -> Self {
        Self {
            run: Arc::new(run),
            folder,
            segments: Vec::new(),
            waiting: Lines::default(),
            position: Position::default(),
            is_open: true,
            is_named: false,
        }
    }

    /// Reads a run's folder. Nothing where it does not say whose it is.
    fn open(folder: &Path, counts: &mut Counts) -> Result<Option<Self>, StoreError> {
        let Ok(named) = std::fs::read(folder.join(RUN_FILE)) else { return Ok(None) };
        let Ok(run) = serde_json::from_slice::<Run>(&named) else { return Ok(None) };
        let mut log = Self { is_open: false, is_named: true, ..Self::new(run, folder.to_owned()) };
        let entries = std::fs::read_dir(folder).map_err(file("read", folder))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
        let mut paths = paths.map_err(file("read", folder))?;
        paths
            .retain(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit)));
        paths.sort();
        for path in paths {
            let (segment, torn) = Segment::open(path.clone()).map_err(file("open", &path))?;
            counts.torn_bytes += torn;
            if segment.lines > 0 {
                log.waiting = Lines::starting_at(segment.end_sequence);
                log.position = segment.position;
                log.segments.push(segment);
            }
        }
        Ok(Some(log))
    }

    fn write(&mut self, segment_bytes: u64) -> Result<(), StoreError> {
        self.name()?;
        if self.segments.last().is_none_or(|last| last.bytes >= segment_bytes) {
            self.segments.push(Segment::new(&self.folder, self.waiting.first_sequence));
        }
        let Some(segment) = self.segments.last_mut() else { return Ok(()) };
        let written = segment.append(&self.waiting, self.position).map_err(file("write", &segment.path));
        if segment.lines == 0 {
            self.segments.pop();
        }
        written?;
        self.waiting = Lines::starting_at(self.waiting.end_sequence());
        Ok(())
    }

    /// Tells on disk whose lines these are, before there are any.
    fn name(&mut self) -> Result<(), StoreError> {
        if self.is_named {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).map_err(file("create", &self.folder))?;
        let (path, half) = (self.folder.join(RUN_FILE), self.folder.join("run.new"));
        let text = serde_json::to_vec(&*self.run).map_err(io::Error::other).map_err(file("write", &path))?;
        std::fs::write(&half, text).map_err(file("write", &half))?;
        std::fs::rename(&half, &path).map_err(file("write", &path))?;
        self.is_named = true;
        Ok(())
    }

    /// A run that goes on keeps its last segment, which tells where to read on.
    fn may_lose_one(&self) -> bool {
        self.segments.len() > usize::from(self.is_open)
    }

    /// Removes the first segment; how many lines that were.
    fn lose_first(&mut self) -> u64 {
        let segment = self.segments.remove(0);
        remove(std::fs::remove_file(&segment.path), &segment.path);
        segment.lines
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::disk_bytes).sum()
    }
}

/// What cannot be removed now is found again when the store is opened.
fn remove(removed: io::Result<()>, path: &Path) {
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "failed to remove old logs");
    }
}

#[cfg(test)]
mod tests;
