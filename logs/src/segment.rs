//! A file of blocks, one behind the other.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::block::{self, HEADER_BYTES, Header};
use crate::line::Lines;
use crate::tail::Position;

/// What file systems give out at once, in bytes: what a file takes is more than what it holds.
const DISK_BLOCK: u64 = 4096;

/// A file of blocks, and what is known of it without reading it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Bytes of whole blocks.
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) end_sequence: u64,
    pub(crate) earliest_ns: i64,
    pub(crate) latest_ns: i64,
    /// Where to read on in Docker's files behind the last block.
    pub(crate) position: Position,
}

impl Segment {
    /// One that is not written yet.
    pub(crate) fn new(folder: &Path, first_sequence: u64) -> Self {
        Self {
            path: folder.join(format!("{first_sequence:020}")),
            bytes: 0,
            lines: 0,
            end_sequence: first_sequence,
            earliest_ns: i64::MAX,
            latest_ns: i64::MIN,
            position: Position::default(),
        }
    }

    /// Reads the headers of a segment, cuts a torn block off its end, and tells how many bytes that cost.
    pub(crate) fn open(path: PathBuf) -> io::Result<(Self, u64)> {
        let length = std::fs::metadata(&path)?.len();
        let mut segment = Self { path, ..Self::new(Path::new(""), 0) };
        let mut blocks = Blocks::open(&segment.path, length)?;
        let mut last = None;
        while let Some(header) = blocks.header()? {
            let whole = segment.bytes + HEADER_BYTES as u64 + u64::from(header.payload_bytes);
            if whole > length {
                break;
            }
            last = Some((segment.clone(), header));
            segment.note(&header);
            blocks.skip(&header)?;
        }
        // A crash tears the last block alone: those before it were whole when it was begun.
        if let Some((before, header)) = last {
            let mut blocks = Blocks::open(&segment.path, length)?;
            blocks.reader.seek(SeekFrom::Start(before.bytes + HEADER_BYTES as u64))?;
            if !header.fits(&blocks.payload(&header)?) {
                segment = before;
            }
        }
        let torn = length - segment.bytes;
        if torn > 0 {
            OpenOptions::new().write(true).open(&segment.path)?.set_len(segment.bytes)?;
        }
        Ok((segment, torn))
    }

    fn note(&mut self, header: &Header) {
        self.bytes += HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        self.lines += u64::from(header.count);
        self.end_sequence = header.end_sequence();
        self.earliest_ns = self.earliest_ns.min(header.earliest_ns);
        self.latest_ns = self.latest_ns.max(header.latest_ns);
        self.position = header.position;
    }

    /// Writes a block behind the last one. When that fails nothing is changed.
    pub(crate) fn append(&mut self, lines: &Lines, position: Position) -> io::Result<()> {
        let bytes = block::encode(lines, position)?;
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        let written = file.seek(SeekFrom::Start(self.bytes)).and_then(|_| file.write_all(&bytes));
        if let Err(error) = written {
            // Half a block is cut off now, or by whoever opens the segment next.
            let _ = file.set_len(self.bytes);
            return Err(error);
        }
        let header = bytes.first_chunk().and_then(Header::read).expect("what was just encoded is a header");
        self.note(&header);
        Ok(())
    }

    /// What it takes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.bytes.next_multiple_of(DISK_BLOCK)
    }
}

/// Reads the blocks of a segment in order.
#[derive(Debug)]
pub(crate) struct Blocks {
    reader: BufReader<File>,
    left: u64,
}

impl Blocks {
    /// The blocks in the first `bytes` of a segment: more may be written meanwhile.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self { reader: BufReader::with_capacity(256 << 10, File::open(path)?), left: bytes })
    }

    /// The next block's header. Then either its payload is read or it is skipped.
    pub(crate) fn header(&mut self) -> io::Result<Option<Header>> {
        let Some(left) = self.left.checked_sub(HEADER_BYTES as u64) else { return Ok(None) };
        let mut bytes = [0; HEADER_BYTES];
        self.reader.read_exact(&mut bytes)?;
        self.left = left;
        Ok(Header::read(&bytes))
    }

    pub(crate) fn payload(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let mut payload = vec![0; header.payload_bytes as usize];
        self.reader.read_exact(&mut payload)?;
        self.left = self.left.saturating_sub(u64::from(header.payload_bytes));
        Ok(payload)
    }

    pub(crate) fn skip(&mut self, header: &Header) -> io::Result<()> {
        self.left = self.left.saturating_sub(u64::from(header.payload_bytes));
        self.reader.seek_relative(i64::from(header.payload_bytes))
    }
}
