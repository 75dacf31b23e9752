//! Reading the files of one container's log on and on, however Docker rotates them.
//!
//! Docker renames `x` to `x.1`, `x.1` to `x.2` and so on, and begins a new `x`. A file is known by its first entry, which bears a
//! time in nanoseconds: names change, and inodes are used again.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::docker;
use crate::line::{Line, Stream};

/// Rotated files looked for: more than any configuration of ours makes.
const FILES_MAX: u32 = 20;
/// Files held open that are read later: as much disk as that may be taken by a container that writes faster than can be read.
const PINNED_FILES_MAX: usize = 32;
/// Bytes read at once; each container that runs has so many.
const READ_BYTES: usize = 16 << 10;
/// The longest line kept whole, in bytes; longer ones are cut, as lines of their own. Docker has no such limit, memory does.
const LINE_BYTES_MAX: usize = 4 << 20;
/// The longest entry, in bytes: 16 KiB, each byte of which may be escaped in six, and attributes.
const ENTRY_BYTES_MAX: usize = 256 << 10;

/// A place in the files of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The hash of the file's first entry; 0 is before everything.
    pub file: u64,
    /// The byte in the file to read on at.
    pub offset: u64,
    /// How many of the lines that end after it are behind us already: they were written between the parts of a longer one.
    pub skip: u64,
}

/// Lines that were read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The lines in the order they were written.
    pub lines: Vec<Line>,
    /// Entries that could not be understood, which are among the lines as they are.
    pub damaged: u64,
    /// How often files had been rotated away before they were read.
    pub gaps: u64,
    /// Whether there is nothing more at the moment.
    pub at_end: bool,
}

/// The files of one container's log, read up to some place.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    opened: Option<Opened>,
    /// The files after it, in order.
    upcoming: VecDeque<Next>,
    /// Where to begin once there is a file.
    resume: Position,
    /// Where to read on after a restart.
    anchor: Position,
    /// Lines to come that are known already.
    discard: u64,
    /// The beginnings of lines on standard output and standard error.
    parts: [Option<Vec<u8>>; 2],
}

/// A file to be read later.
#[derive(Debug)]
struct Next {
    opened: Opened,
    /// Files between it and the one before it went unread.
    missed: bool,
}

/// A file of a log.
#[derive(Debug)]
struct Opened {
    reader: BufReader<File>,
    inode: (u64, u64),
    identity: u64,
    /// The byte behind the last whole entry.
    offset: u64,
    /// What was read of an entry whose end is not written yet.
    begun: Vec<u8>,
    /// Docker writes to another file by now: what is here is all there will be.
    rotated: bool,
}

impl Tail {
    /// The log whose newest file is at `path`, to be read from `position` on.
    pub fn new(path: PathBuf, position: Position) -> Self {
        let upcoming = VecDeque::new();
        Self { path, opened: None, upcoming, resume: position, anchor: position, discard: 0, parts: [None, None] }
    }

    /// Where to read on so that each line behind the last batch comes once.
    pub fn position(&self) -> Position {
        self.anchor
    }

    /// Reads on, up to about so many bytes of text.
    ///
    /// # Errors
    /// When a file cannot be read. The next call tries again.
    pub fn read(&mut self, bytes_max: usize) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        if self.opened.is_none() && !self.begin(&mut batch)? {
            batch.at_end = true;
            return Ok(batch);
        }
        self.pin()?;
        while bytes < bytes_max {
            let Some(opened) = self.opened.as_mut() else { break };
            match opened.entry()? {
                Some(entry) => bytes += self.take(&entry, &mut batch),
                None if self.move_on(&mut batch)? => {}
                None => {
                    batch.at_end = true;
                    break;
                }
            }
        }
        Ok(batch)
    }

    /// Opens every file there is to be read, without reading: they can be, whatever becomes of their names.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn hold(&mut self) -> io::Result<Batch> {
        let mut batch = Batch::default();
        if self.opened.is_some() || self.begin(&mut batch)? {
            self.pin()?;
        }
        Ok(batch)
    }

    /// What was begun and has no end, once nothing more is written: each such rest as a line.
    pub fn rest(&mut self, time_ns: i64) -> Vec<Line> {
        let streams = [Stream::Stdout, Stream::Stderr];
        let parts = self.parts.iter_mut().zip(streams);
        let rest = parts.filter_map(|(part, stream)| Some(Line { time_ns, stream, text: part.take()? })).collect();
        self.anchor_here();
        rest
    }

    /// Takes an entry in; how many bytes of lines came of it.
    fn take(&mut self, bytes: &[u8], batch: &mut Batch) -> usize {
        if let (0, Some(opened)) = (self.anchor.file, &self.opened) {
            self.anchor.file = opened.identity;
        }
        let Some(entry) = docker::entry(bytes) else {
            batch.damaged += 1;
            let time_ns = batch.lines.last().map_or(0, |line| line.time_ns);
            return self.emit(Line { time_ns, stream: Stream::Stdout, text: bytes.to_vec() }, batch);
        };
        let [stdout, stderr] = &mut self.parts;
        let slot = if entry.stream == Stream::Stderr { stderr } else { stdout };
        let mut text = slot.take().unwrap_or_default();
        text.extend_from_slice(entry.text.as_bytes());
        if !entry.ends_line && text.len() < LINE_BYTES_MAX {
            *slot = Some(text);
            self.anchor_here();
            return 0;
        }
        self.emit(Line { time_ns: entry.time_ns, stream: entry.stream, text }, batch)
    }

    fn emit(&mut self, line: Line, batch: &mut Batch) -> usize {
        let bytes = line.text.len() + 1;
        self.anchor.skip += 1;
        self.anchor_here();
        if self.discard > 0 {
            self.discard -= 1;
            return 0;
        }
        batch.lines.push(line);
        bytes
    }

    /// Everything before here is done, unless a line is only begun.
    fn anchor_here(&mut self) {
        if let (Some(opened), [None, None]) = (&self.opened, &self.parts) {
            self.anchor = Position { file: opened.identity, offset: opened.offset, skip: 0 };
        }
    }

    /// Opens the file to begin with. False where there is none yet.
    fn begin(&mut self, batch: &mut Batch) -> io::Result<bool> {
        let position = self.resume;
        if position.file != 0 {
            for path in self.files() {
                let Some(mut opened) = Opened::at(&path)? else { continue };
                if opened.identify()? == Some(position.file) {
                    opened.seek(position.offset)?;
                    self.discard = position.skip;
                    self.anchor = Position { skip: 0, ..position };
                    self.opened = Some(opened);
                    return Ok(true);
                }
            }
        }
        if position.file != 0 && Opened::at(&self.path)?.is_none() {
            // Gone with its container, or between two names: what is left was before it, and is behind us.
            return Ok(false);
        }
        let Some(oldest) = self.oldest()? else { return Ok(false) };
        batch.gaps += u64::from(position.file != 0);
        self.anchor = Position::default();
        self.opened = Some(oldest);
        Ok(true)
    }

    /// Opens the files Docker began since the last look: while they are open they can be read, whatever becomes of their names.
    fn pin(&mut self) -> io::Result<()> {
        let newest_known = self.upcoming.back().map(|next| &next.opened).or(self.opened.as_ref());
        let Some(known) = newest_known.map(|opened| opened.inode) else { return Ok(()) };
        if std::fs::metadata(&self.path).is_ok_and(|metadata| inode(&metadata) == known) {
            return Ok(());
        }
        // Nothing there: between two names, or gone with its container.
        let Some(newest) = Opened::at(&self.path)?.filter(|newest| newest.inode != known) else { return Ok(()) };
        let (mut newer, mut is_found) = (vec![newest], false);
        for path in self.files().iter().skip(1) {
            // Docker may rename while we look, from the oldest file on: then a name may be free for a moment, and the same file
            // come twice, but none is missed.
            let Some(opened) = Opened::at(path)? else { continue };
            is_found = opened.inode == known;
            if is_found {
                break;
            }
            if newer.iter().all(|other| other.inode != opened.inode) {
                newer.push(opened);
            }
        }
        let mut missed = !is_found;
        for opened in newer.into_iter().rev() {
            self.upcoming.push_back(Next { opened, missed: std::mem::take(&mut missed) });
        }
        while self.upcoming.len() > PINNED_FILES_MAX {
            self.upcoming.pop_front();
            self.upcoming.iter_mut().take(1).for_each(|next| next.missed = true);
        }
        Ok(())
    }

    /// At the end of a file: goes to the next one if there is one. False where there is nothing more.
    fn move_on(&mut self, batch: &mut Batch) -> io::Result<bool> {
        self.pin()?;
        let Some(opened) = self.opened.as_mut() else { return Ok(false) };
        if self.upcoming.is_empty() {
            let length = opened.reader.get_ref().metadata()?.len();
            let is_emptied = length < opened.offset;
            if is_emptied {
                batch.gaps += 1;
                opened.seek(0)?;
            }
            return Ok(is_emptied && length > 0);
        }
        if !std::mem::replace(&mut opened.rotated, true) {
            // Whatever was written to it between our last look and its renaming is read first.
            return Ok(true);
        }
        self.take_half(batch);
        let Some(next) = self.upcoming.pop_front() else { return Ok(false) };
        batch.gaps += u64::from(next.missed);
        self.opened = Some(next.opened);
        Ok(true)
    }

    /// Takes in what Docker wrote of an entry before it gave up on the file.
    fn take_half(&mut self, batch: &mut Batch) {
        let Some(opened) = self.opened.as_mut() else { return };
        let half = std::mem::take(&mut opened.begun);
        opened.offset += half.len() as u64;
        if !half.is_empty() {
            self.take(&half, batch);
        }
    }

    fn oldest(&self) -> io::Result<Option<Opened>> {
        let mut oldest = None;
        for path in self.files() {
            oldest = Opened::at(&path)?.or(oldest);
        }
        Ok(oldest)
    }

    /// Where files may be, the newest first.
    fn files(&self) -> Vec<PathBuf> {
        let rotated = (1..=FILES_MAX).map(|number| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        });
        std::iter::once(self.path.clone()).chain(rotated).collect()
    }
}

impl Opened {
    /// The file at `path`, from its beginning. Nothing where there is none.
    fn at(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = inode(&file.metadata()?);
        let reader = BufReader::with_capacity(READ_BYTES, file);
        Ok(Some(Self { reader, inode, identity: 0, offset: 0, begun: Vec::new(), rotated: false }))
    }

    /// Reads the first entry, which tells one file from another.
    fn identify(&mut self) -> io::Result<Option<u64>> {
        Ok(self.entry()?.map(|_| self.identity))
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.reader.seek(SeekFrom::Start(offset))?;
        self.offset = offset;
        self.begun.clear();
        Ok(())
    }

    /// The next entry whose end is written.
    fn entry(&mut self) -> io::Result<Option<Vec<u8>>> {
        let left = ENTRY_BYTES_MAX.saturating_sub(self.begun.len()).max(1);
        (&mut self.reader).take(left as u64).read_until(b'\n', &mut self.begun)?;
        let whole = self.begun.last() == Some(&b'\n') || self.begun.len() >= ENTRY_BYTES_MAX;
        if !whole {
            return Ok(None);
        }
        let mut entry = std::mem::take(&mut self.begun);
        if self.offset == 0 {
            self.identity = xxh3_64(&entry).max(1);
        }
        self.offset += entry.len() as u64;
        if entry.last() == Some(&b'\n') {
            entry.pop();
        }
        Ok(Some(entry))
    }
}

fn inode(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests;
